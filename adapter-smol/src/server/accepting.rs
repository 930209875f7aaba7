//! The listening sockets of a server.

use std::{
    io::{self, ErrorKind},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use async_io::Async;
use ws_transport::{ListeningSocket, SpareDescriptor};

use super::shared::AcceptedClient;
use crate::{relay::Relay, socket::accept};

/// The listening sockets. There are none after the server has started to stop.
pub(super) struct Listeners {
    listening: Mutex<Vec<Listening>>,
    nodelay: bool,
}

struct Listening {
    socket: Async<ListeningSocket>,
    /// Wakes the task that accepts.
    accepting: Relay,
    /// `true` while no pending client is known, which avoids an accept call for every event of a connection.
    is_waiting: bool,
}

impl Listeners {
    pub(super) fn new(sockets: Vec<Async<ListeningSocket>>, nodelay: bool) -> Self {
        let listening = |socket| Listening { socket, accepting: Relay::new(), is_waiting: false };
        Self { listening: Mutex::new(sockets.into_iter().map(listening).collect()), nodelay }
    }

    /// Waits for a client. Returns `None` if the server stops.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<AcceptedClient>>> {
        let mut listening = self.lock();
        if listening.is_empty() {
            return Poll::Ready(None);
        }
        let accepted = listening.iter_mut().find_map(|it| match it.poll_accept(cx, self.nodelay) {
            Poll::Ready(accepted) => Some(accepted),
            Poll::Pending => None,
        });
        // So that many clients of one socket do not keep those of another one waiting.
        listening.rotate_left(1);
        accepted.map_or(Poll::Pending, |accepted| Poll::Ready(Some(accepted)))
    }

    /// Accepts a client with the spare descriptor. Returns an error if no client waits, or if the shortage continues.
    pub(super) fn accept_with(&self, spare: &mut SpareDescriptor) -> io::Result<AcceptedClient> {
        let mut listening = self.lock();
        spare.accept(|| {
            let mut failed = ErrorKind::WouldBlock.into();
            for listening in &mut *listening {
                match accept(listening.socket.get_ref(), self.nodelay) {
                    // On Linux, `accept` without a descriptor fails in the same way if no client waits. So this is the
                    // only place that detects it during a shortage.
                    Err(error) if error.kind() == ErrorKind::WouldBlock => listening.is_waiting = true,
                    Err(error) => failed = error,
                    accepted => return accepted,
                }
            }
            Err(failed)
        })
    }

    /// Closes the listening sockets.
    pub(super) fn close(&self) {
        let listening = mem::take(&mut *self.lock());
        // Release the lock first: a waker may run the task that accepts, which takes the lock.
        drop(listening);
    }

    /// Locks the listening sockets for a stop.
    pub(super) fn stopping(&self) -> Stopping<'_> {
        Stopping { listening: self.lock(), nodelay: self.nodelay }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Listening>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listening {
    fn poll_accept(&mut self, cx: &mut Context<'_>, nodelay: bool) -> Poll<io::Result<AcceptedClient>> {
        loop {
            if self.is_waiting {
                let ready = self.accepting.poll(cx, |cx| self.socket.poll_readable(cx));
                match ready {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            self.is_waiting = false;
            match accept(self.socket.get_ref(), nodelay) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_waiting = true,
                accepted => return Poll::Ready(accepted),
            }
        }
    }
}

/// The listening sockets during the start of a stop. No client is accepted elsewhere.
pub(super) struct Stopping<'l> {
    listening: MutexGuard<'l, Vec<Listening>>,
    nodelay: bool,
}

impl Stopping<'_> {
    /// Accepts the clients that have already connected. Closing the sockets would reset them.
    pub(super) fn accept_waiting(&self) -> Vec<AcceptedClient> {
        let mut late = Vec::new();
        for listening in &*self.listening {
            let socket = listening.socket.get_ref();
            socket.ignore_new_connections();
            loop {
                match accept(socket, self.nodelay) {
                    Ok(client) => late.push(client),
                    Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                    Err(_) => break,
                }
            }
        }
        late
    }

    /// Closes the listening sockets.
    pub(super) fn close(mut self) {
        let closed = mem::take(&mut *self.listening);
        // Release the lock first: a waker may run the task that accepts, which takes the lock.
        drop(self);
        drop(closed);
    }
}
