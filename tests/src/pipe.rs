//! An asynchronous in-memory stream that is deliberately difficult.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_lite::{AsyncRead, AsyncWrite};

/// One end of a stream that returns `Pending` at every second poll and moves only a few bytes at a time. The maximum
/// is chosen at random each time.
#[derive(Debug)]
pub struct Pipe {
    incoming: Arc<Mutex<Channel>>,
    outgoing: Arc<Mutex<Channel>>,
    most: usize,
    random: u64,
    reluctant_to_read: bool,
    reluctant_to_write: bool,
}

#[derive(Debug, Default)]
struct Channel {
    bytes: VecDeque<u8>,
    capacity: usize,
    ended: bool,
    waiting: Vec<Waker>,
}

/// Returns both ends of a stream with this capacity per direction that moves at most `most` bytes at a time.
pub fn pipe(capacity: usize, most: usize) -> (Pipe, Pipe) {
    let channel = || Arc::new(Mutex::new(Channel { capacity, ..Channel::default() }));
    let (one, other) = (channel(), channel());
    let end = |incoming: &Arc<_>, outgoing: &Arc<_>, random| Pipe {
        incoming: Arc::clone(incoming),
        outgoing: Arc::clone(outgoing),
        most,
        random,
        reluctant_to_read: true,
        reluctant_to_write: true,
    };
    (end(&one, &other, 1), end(&other, &one, 2))
}

impl Pipe {
    /// Returns a random number between one and `most`.
    fn some(&mut self) -> usize {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + (self.random >> 33) as usize % self.most
    }
}

impl Channel {
    fn changed(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        self.waiting.push(cx.waker().clone());
        Poll::Pending
    }
}

fn lock(channel: &Mutex<Channel>) -> MutexGuard<'_, Channel> {
    channel.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.reluctant_to_read = !self.reluctant_to_read;
        if !self.reluctant_to_read {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let some = self.some();
        let mut channel = lock(&self.incoming);
        let len = channel.bytes.len().min(buffer.len()).min(some);
        if len == 0 && !channel.ended {
            return channel.wait(cx);
        }
        for (place, byte) in buffer.iter_mut().zip(channel.bytes.drain(..len)) {
            *place = byte;
        }
        channel.changed();
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.reluctant_to_write = !self.reluctant_to_write;
        if !self.reluctant_to_write {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let some = self.some();
        let mut channel = lock(&self.outgoing);
        if channel.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let len = (channel.capacity - channel.bytes.len()).min(bytes.len()).min(some);
        if len == 0 {
            return channel.wait(cx);
        }
        channel.bytes.extend(&bytes[..len]);
        channel.changed();
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut channel = lock(&self.outgoing);
        channel.ended = true;
        channel.changed();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        for channel in [&self.incoming, &self.outgoing] {
            let mut channel = lock(channel);
            channel.ended = true;
            channel.changed();
        }
    }
}
