#![forbid(unsafe_code)]
//! What the blocking and the async adapter share below the WebSocket protocol: TLS, socket options, the
//! clock, errors. The adapters export what is of use to applications.

mod assembler;
mod clock;
mod driver;
mod endpoint;
mod error;
mod outbox;
mod read_size;
mod recycled;
mod response;
pub mod tls;
mod traffic;

pub use assembler::MessageAssembler;
pub use clock::Clock;
pub use driver::{Driver, InputEnd, Step, Turn};
pub use endpoint::{ConnectOptions, ListenOptions, begin_connect, write_now};
pub use error::{Deadline, Error};
pub use outbox::{Backlog, Network, Outgoing, OutgoingKind, Overflow, Payload, SendOutcome};
pub use read_size::ReadSize;
pub use recycled::RecycledBuffer;
pub use response::response_timeout;
pub use traffic::{Counter, Traffic};

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
