//! A peer that sends without a pause, which only a stream without a network can do.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use smol::io::{AsyncRead, AsyncWrite};
use ws_smol::{
    Clock, CloseCode, Config, WebSocket,
    ws_core::{Cause, Connection, TimeoutKind},
};
use ws_tests::{bounded, takes};

/// A stream that fills every buffer with empty messages and accepts all output.
struct Flood;

impl AsyncRead for Flood {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        buffer.chunks_exact_mut(2).for_each(|frame| frame.copy_from_slice(&[0x82, 0]));
        Poll::Ready(Ok(buffer.len()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_peer_that_floods_does_not_outlast_the_closing_handshake() {
    bounded(|| {
        let mut config = Config::default();
        config.close_timeout = Duration::from_millis(200);
        let clock = Clock::start();
        let connection = Connection::client(Arc::new(config), [7; 32], clock.now());
        let mut ws = WebSocket::from_upgraded(Flood, connection, clock, []);
        takes(Duration::from_millis(200), || {
            let _ = smol::block_on(ws.close(CloseCode::NORMAL_CLOSURE, "enough"));
        });
        assert_eq!(ws.close_info().unwrap().cause, Cause::Timeout(TimeoutKind::Close));
    });
}
