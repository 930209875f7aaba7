#![forbid(unsafe_code)]
//! Code below the WebSocket protocol that the blocking and the async adapter share: TLS, socket options, the clock
//! and errors. The adapters re-export the parts that applications need.

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
pub mod work;

pub use assembler::MessageAssembler;
pub use clock::Clock;
pub use driver::{Driver, InputEnd, Step, Turn};
pub use endpoint::{ConnectOptions, ListenOptions, begin_connect, ignore_new_connections, write_now};
pub use error::{Deadline, Error};
pub use outbox::{Backlog, Network, Outgoing, OutgoingKind, Overflow, Payload, SendOutcome};
pub use read_size::ReadSize;
pub use recycled::RecycledBuffer;
pub use response::response_timeout;

/// Returns 32 random bytes from the operating system, for a client's nonce and masking keys.
///
/// # Errors
///
/// Returns an error if the operating system provides no random bytes.
pub fn seed() -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(std::io::Error::from)?;
    Ok(seed)
}
