use std::{
    fmt,
    future::poll_fn,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::Poll,
    time::Duration,
};

use async_io::Timer;
use futures_lite::future;
use ws_core::{CloseCode, Message};
use ws_sessions::{Callbacks, Panicked, ReconnectState, Session, WhileDisconnected, is_refused_at_end};
use ws_transport::Error;

use super::{Reconnecting, handle::attend};
use crate::{current, duplex::Duplex, waker_set::WakerSet};

/// A client whose callbacks run in a task, and that connects again by itself. [`Reconnecting::start`] creates it. Clones are handles
/// to the same client. Dropping them does not stop it.
#[derive(Clone)]
pub struct ReconnectingClient(Arc<Inner>);

struct Inner {
    state: Mutex<ReconnectState>,
    changed: WakerSet,
    duplex: Mutex<Weak<Duplex>>,
    while_disconnected: WhileDisconnected,
}

/// Marks the client as ended when dropped, even if its task panics or is cancelled.
struct EndGuard(ReconnectingClient);

impl ReconnectingClient {
    pub(super) fn new(while_disconnected: WhileDisconnected) -> Self {
        let (state, changed, duplex) = Default::default();
        Self(Arc::new(Inner { state, changed, duplex, while_disconnected }))
    }

    /// Returns the session of the present connection. `None` while the client is not connected.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        self.state().session()
    }

    /// Sends a message on the present connection, see [`Session::send`]. While the client is not connected, it follows
    /// [`WhileDisconnected`].
    ///
    /// The message goes to one connection. If that connection breaks, the message may be lost, and it is not sent again. If the
    /// future is dropped before it is ready, the message is not sent.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Io`] with [`NotConnected`](io::ErrorKind::NotConnected) if the client is not connected for as long as
    ///   [`WhileDisconnected`] permits, or if it has ended.
    /// - Returns the errors of [`Session::send`] that leave the connection unchanged.
    pub async fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        let message = message.into();
        let sending = async {
            let mut refused = None;
            loop {
                let session = self.until(|state| state.session_after(refused)).await?;
                match session.send(message.as_borrowed()) {
                    Err(error) if is_refused_at_end(&error) => refused = Some(session.id()),
                    sent => return sent,
                }
            }
        };
        let waiting = async {
            if let WhileDisconnected::Wait(wait) = self.0.while_disconnected {
                Timer::after(wait).await;
            }
            Err(ReconnectState::disconnected_error())
        };
        future::or(sending, waiting).await
    }

    /// Waits until the client has ended and the last callback has returned. Inside a callback of this client, it returns at once.
    ///
    /// # Errors
    ///
    /// Returns the error with which the client has ended, to the first caller: one that is not
    /// [transient](Error::is_transient), the last one that the policy permits, or the panic of a callback.
    pub async fn wait(&self) -> Result<(), Error> {
        if self.is_in_callback() {
            return Ok(());
        }
        self.until(ReconnectState::ended).await
    }

    /// Ends the client at once if it waits or connects. If it is connected, closes the connection with 1000, and waits for at most
    /// `timeout`. Then aborts the connection. Returns `true` if the last callback has returned in time.
    ///
    /// Inside a callback of this client, this only begins to close, and returns `false`.
    pub async fn stop(&self, timeout: Duration) -> bool {
        self.begin_stop();
        if self.is_in_callback() {
            return false;
        }
        let ended = async {
            self.until(|state| state.has_ended().then_some(())).await;
            true
        };
        let late = async {
            Timer::after(timeout).await;
            false
        };
        let in_time = future::or(ended, late).await;
        if !in_time {
            let duplex = self.0.duplex.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
            duplex.inspect(|duplex| duplex.abandon());
        }
        in_time
    }

    /// Begins to end the client like [`stop`](Self::stop), and does not wait.
    pub fn begin_stop(&self) {
        let session = self.state().stop();
        self.0.changed.wake_all();
        // It cannot fail: this code and reason can be sent.
        session.inspect(|session| drop(session.close(CloseCode::NORMAL_CLOSURE, "")));
    }

    /// Runs the connections until there are no more.
    pub(super) async fn run(self, mut connections: Reconnecting, callbacks: Arc<Callbacks>) {
        // Drop this after everything else in the task.
        let end = EndGuard(self);
        let client = &end.0;
        let error = loop {
            let stopped = async {
                client.until(|state| state.is_stopping().then_some(())).await;
                None
            };
            match future::or(stopped, connections.connect()).await {
                Some(Ok((ws, response, path))) => {
                    let attended = attend(ws, path, callbacks.clone());
                    let session = attended.session();
                    *client.0.duplex.lock().unwrap_or_else(PoisonError::into_inner) = attended.duplex();
                    if !client.state().connected(&session) {
                        client.begin_stop();
                    }
                    client.0.changed.wake_all();
                    let ended = attended.run(response, client.owner(), || client.state().disconnected());
                    // The callbacks have already received other errors.
                    if let Err(error) = ended.await
                        && error.is::<Panicked>()
                    {
                        break Some(Error::Io(io::Error::other(error)));
                    }
                }
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        // The functions of the application are dropped before the end is visible.
        drop(connections);
        client.state().end(error);
    }

    async fn until<T>(&self, mut check: impl FnMut(&mut ReconnectState) -> Option<T>) -> T {
        poll_fn(|cx| {
            let mut state = self.state();
            let checked = check(&mut state);
            if checked.is_none() {
                // Under the lock, so that no change is missed.
                self.0.changed.add(cx.waker());
            }
            checked.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Returns a number that is unique among all clients that currently exist.
    fn owner(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    fn is_in_callback(&self) -> bool {
        current::number(self.owner()).is_some()
    }

    fn state(&self) -> MutexGuard<'_, ReconnectState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.state().end(None);
        self.0.0.changed.wake_all();
    }
}

impl fmt::Debug for ReconnectingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingClient").field("session", &self.session()).finish_non_exhaustive()
    }
}
