#![forbid(unsafe_code)]
//! What the blocking and the async adapter share below the WebSocket protocol: TLS, socket options, the
//! clock, errors. The adapters export what is of use to applications.

mod appetite;
mod clock;
mod endpoint;
mod error;
mod joiner;
mod outbox;
mod spare;
pub mod tls;
mod wire;

pub use appetite::Appetite;
pub use clock::Clock;
pub use endpoint::{ConnectOptions, ListenOptions, Patience, begin_connect, write};
pub use error::{Deadline, Error};
pub use joiner::Joiner;
pub use outbox::{Backlog, Overflow, Payload, Post, Posted};
pub use spare::Spare;
pub use wire::Wire;

/// 32 random bytes from the operating system, for a client's nonce and masking keys.
///
/// # Errors
///
/// The operating system has none to give.
pub fn seed() -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(std::io::Error::from)?;
    Ok(seed)
}
