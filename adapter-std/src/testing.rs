//! Tests of handlers and clients without a network.
//!
//! [`duplex`] returns the two ends of a stream. A [`StreamServer`](crate::StreamServer) serves one end, and a
//! [`Client`](crate::Client) or a hand-written peer uses the other. There are no addresses, no ports and no files, so any
//! number of tests can run at the same time:
//!
//! ```
//! use std::thread;
//! use ws_std::{Client, CloseCode, Error, HandlerResult, Request, Server, WebSocket, testing::duplex};
//!
//! /// The handler under test.
//! fn count(_request: Request, mut ws: WebSocket) -> HandlerResult {
//!     let mut total = 0;
//!     while let Some(message) = ws.receive()? {
//!         total += message.len();
//!         ws.send(total.to_string())?;
//!     }
//!     Ok(())
//! }
//!
//! let server = Server::new().route("/count", count).for_streams()?;
//! let (client, stream) = duplex()?;
//! let serving = thread::spawn(move || server.serve(stream));
//!
//! let mut ws = Client::new("ws://test/count").connect_over(client)?;
//! ws.send("four")?;
//! ws.send("seven..")?;
//! assert_eq!(ws.receive()?.unwrap(), "4");
//! assert_eq!(ws.receive()?.unwrap(), "11");
//! ws.close(CloseCode::NORMAL_CLOSURE, "")?;
//! serving.join().unwrap()?;
//! # Ok::<(), Error>(())
//! ```
//!
//! To test the reaction of a handler to invalid or hostile input, write frames of
//! [`ws_core::testing::Frame`] to the other end. To test a protocol under virtual time, without threads, use
//! [`ws_core::testing::Pair`].

use std::{io, os::unix::net::UnixStream};

pub use ws_core::testing::{Frame, Head, Opening, Pair, Peer, Transcript};

/// Returns the two ends of a stream in the memory of the operating system. Both are unnamed Unix-domain sockets, because a
/// blocking WebSocket waits for its input and its deadlines in the operating system.
///
/// # Errors
///
/// Returns an error if file descriptors are short.
pub fn duplex() -> io::Result<(UnixStream, UnixStream)> {
    UnixStream::pair()
}
