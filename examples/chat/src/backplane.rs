use ws_sessions::Session;

use crate::{
    Chat,
    protocol::{Event, Id, Refusal},
};

/// Assigns each event a position in the order that all members see, and each name to one client.
pub trait Backplane: Send + Sync {
    /// Requests a name. The backplane answers with [`Chat::admit`] or [`Chat::refuse`], now or later. If the name was
    /// free in that room, the backplane also delivers [`Event::Joined`].
    fn claim(&self, chat: &Chat, claim: Claim);

    /// Releases the name of a claim. Unless another claim has taken the name meanwhile, the backplane delivers
    /// [`Event::Left`].
    fn release(&self, chat: &Chat, claim: &Claim);

    /// Publishes an event in a room. [`Chat::deliver`] sends it to the members. Events of one client keep their
    /// order.
    ///
    /// # Errors
    ///
    /// Returns the reason if the event cannot be published.
    fn publish(&self, chat: &Chat, room: &str, event: Event) -> Result<(), Refusal>;
}

/// A client's request to join a room.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The client's session.
    pub session: Session,
    /// The name of the room.
    pub room: String,
    /// The nickname.
    pub nick: String,
    /// The client's secret, which proves on a later connection that the name is its own.
    pub key: String,
    /// The last event that the client has seen.
    pub after: Option<Id>,
}

/// The backplane of a chat within one process.
#[derive(Clone, Copy, Debug)]
pub struct Local;

impl Backplane for Local {
    fn claim(&self, chat: &Chat, claim: Claim) {
        chat.admit_here(&claim);
    }

    fn release(&self, chat: &Chat, claim: &Claim) {
        chat.append(&claim.room, &Event::Left { nick: claim.nick.clone() });
    }

    fn publish(&self, chat: &Chat, room: &str, event: Event) -> Result<(), Refusal> {
        chat.append(room, &event);
        Ok(())
    }
}
