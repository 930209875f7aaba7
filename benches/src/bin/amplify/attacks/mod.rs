//! The attacks, each with the bound that holds in this workspace, and the tests that show it.

use crate::{Result, attacker::Attacker, servers::Needs};

mod handshakes;
mod messages;
mod tls;

pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// The bound on the cost.
    pub(crate) bound: &'static str,
    /// The tests that show the bound.
    pub(crate) shown: &'static str,
    pub(crate) needs: Needs,
    pub(crate) run: fn(&mut Attacker<'_>) -> Result<()>,
}

/// Returns all attacks.
pub(crate) fn all() -> impl Iterator<Item = Attack> {
    handshakes::attacks().into_iter().chain(messages::attacks())
}
