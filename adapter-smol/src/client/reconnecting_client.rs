use std::{future::poll_fn, sync::Arc, time::Duration};

use async_io::Timer;
use futures_lite::future;
use ws_core::Message;
use ws_sessions::{Callbacks, ReconnectControl, ReconnectRun, Session, WhileDisconnected};
use ws_transport::Error;

use super::{
    Reconnecting,
    handle::{attend, run_callbacks},
};
use crate::current;

/// A client whose callbacks run in a task, and that connects again by itself. [`Reconnecting::start`] creates it. Clones are handles
/// to the same client. Dropping them does not stop it.
#[derive(Clone, Debug)]
pub struct ReconnectingClient(Arc<ReconnectControl>);

impl ReconnectingClient {
    pub(super) fn new(while_disconnected: WhileDisconnected) -> Self {
        Self(Arc::new(ReconnectControl::new(while_disconnected)))
    }

    /// Returns the session of the present connection. `None` while the client is not connected.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        self.0.session()
    }

    /// Sends a message on the present connection, see [`Session::send`]. While the client is not connected, it follows
    /// [`WhileDisconnected`].
    ///
    /// The message goes to one connection. If that connection breaks, the message may be lost, and it is not sent again. If the
    /// future is dropped before it is ready, the message is not sent.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Io`] with [`NotConnected`](std::io::ErrorKind::NotConnected) if the client is not connected for as long as
    ///   [`WhileDisconnected`] permits, or if it has ended.
    /// - Returns the errors of [`Session::send`] that leave the connection unchanged.
    pub async fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        let (message, mut refused) = (message.into(), None);
        let sent = poll_fn(|cx| self.0.poll_send(cx, &message, &mut refused));
        let timed_out = async {
            // A timer without duration would be ready only after a turn of the reactor.
            if !self.0.send_timeout().is_zero() {
                Timer::after(self.0.send_timeout()).await;
            }
            Err(ReconnectControl::send_timed_out())
        };
        future::or(sent, timed_out).await
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
        poll_fn(|cx| self.0.poll_ended(cx)).await;
        self.0.result()
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
            poll_fn(|cx| self.0.poll_ended(cx)).await;
            true
        };
        let late = async {
            Timer::after(timeout).await;
            self.0.abort();
            false
        };
        future::or(ended, late).await
    }

    /// Begins to end the client like [`stop`](Self::stop), and does not wait.
    pub fn begin_stop(&self) {
        self.0.begin_stop();
    }

    /// Runs one connection after the other.
    pub(super) async fn run(self, mut connections: Reconnecting, callbacks: Arc<Callbacks>) {
        let run = ReconnectRun::new(self.0.clone());
        let key = (self.owner(), 0);
        let error = loop {
            let stopped = async {
                poll_fn(|cx| self.0.poll_stopping(cx)).await;
                None
            };
            let (ws, response, path) = match future::or(stopped, connections.connect()).await {
                Some(Ok(connected)) => connected,
                Some(Err(error)) => break Some(error),
                None => break None,
            };
            let (mut attendance, duplex) = attend(ws, path, callbacks.clone());
            run.attend(&attendance);
            let ended = run_callbacks(&mut attendance, &duplex, &response, key).await;
            if let Err(panicked) = current::within(key, || run.finish(attendance, ended)) {
                break Some(panicked);
            }
        };
        // The functions of the application are dropped before the end is visible.
        drop(connections);
        run.end(error);
    }

    /// Returns a number that is unique among all clients that currently exist.
    fn owner(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    fn is_in_callback(&self) -> bool {
        current::number(self.owner()).is_some()
    }
}
