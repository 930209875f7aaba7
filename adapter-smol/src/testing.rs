//! Tests of handlers and clients without sockets.
//!
//! [`duplex`] returns the two ends of a stream in memory. A [`StreamServer`](crate::StreamServer) serves one end, and a
//! [`Client`](crate::Client) or a hand-written peer uses the other. Any executor can run such a test, on one thread:
//!
//! ```
//! use futures_lite::future::zip;
//! use ws_smol::{Client, CloseCode, Error, HandlerResult, Request, Server, WebSocket, testing::duplex};
//!
//! /// The handler under test.
//! async fn count(_request: Request, mut ws: WebSocket) -> HandlerResult {
//!     let mut total = 0;
//!     while let Some(message) = ws.receive().await? {
//!         total += message.len();
//!         ws.send(total.to_string()).await?;
//!     }
//!     Ok(())
//! }
//!
//! let server = Server::new().route("/count", count).for_streams()?;
//! let (client, stream) = duplex(1024);
//! let test = async {
//!     let mut ws = Client::new("ws://test/count").connect_over(client).await?;
//!     ws.send("four").await?;
//!     ws.send("seven..").await?;
//!     assert_eq!(ws.receive().await?.unwrap(), "4");
//!     assert_eq!(ws.receive().await?.unwrap(), "11");
//!     ws.close(CloseCode::NORMAL_CLOSURE, "").await
//! };
//! let (tested, ()) = smol::block_on(zip(test, server.serve(stream)));
//! tested?;
//! # Ok::<(), Error>(())
//! ```
//!
//! To test the reaction of a handler to invalid or hostile input, write frames of
//! [`ws_core::testing::Frame`] to the other end. To test a protocol under virtual time, without an executor, use
//! [`ws_core::testing::Pair`].

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_lite::{AsyncRead, AsyncWrite};
pub use ws_core::testing::{Frame, Head, Opening, Pair, Peer, Transcript};

/// One end of a stream in memory. Dropping it ends the stream for the other end.
pub struct Duplex {
    reader: piper::Reader,
    /// `None` after the writing direction was closed.
    writer: Option<piper::Writer>,
}

/// Returns the two ends of a stream in memory. Each direction holds at most `capacity` bytes that were not read. A small
/// capacity tests a slow peer.
///
/// # Panics
///
/// Panics if the capacity is zero.
#[must_use]
pub fn duplex(capacity: usize) -> (Duplex, Duplex) {
    let ((one_reader, other_writer), (other_reader, one_writer)) =
        (piper::pipe(capacity), piper::pipe(capacity));
    let end = |reader, writer| Duplex { reader, writer: Some(writer) };
    (end(one_reader, one_writer), end(other_reader, other_writer))
}

impl AsyncRead for Duplex {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.reader.poll_drain_bytes(cx, buffer).map(Ok)
    }
}

impl AsyncWrite for Duplex {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let writer = self.writer.as_mut().ok_or_else(broken)?;
        match ready!(writer.poll_fill_bytes(cx, bytes)) {
            0 if !bytes.is_empty() => Poll::Ready(Err(broken())),
            written => Poll::Ready(Ok(written)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer = None;
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Duplex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Duplex").field("unread", &self.reader.len()).finish_non_exhaustive()
    }
}
