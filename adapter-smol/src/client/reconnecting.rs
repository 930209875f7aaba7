use std::{
    future::{Future, poll_fn, ready},
    pin::Pin,
    sync::Arc,
};

use ws_core::{ReconnectPolicy, Response};
use ws_sessions::{Callbacks, WhileDisconnected};
use ws_transport::{Error, ReconnectAttempt, ReconnectStep, Reconnector};

use super::{Client, ReconnectingClient, connecting, websocket_recording};
use crate::{Task, WebSocket, lazy_timer::LazyTimer};

type ChangedClient = Pin<Box<dyn Future<Output = Client> + Send>>;

/// The connections of a client, one after the other. [`Client::reconnecting`] and [`Client::reconnect`] create it.
///
/// Each call of [`next`](Self::next) connects: at once for the first connection, and later after the delay of the
/// [`ReconnectPolicy`]. The connections end
///
/// - with an error, if it is not [transient](Error::is_transient) or if the policy permits no more attempts. It is the last item,
/// - without an error, after a connection that the application or the server has closed with 1000.
///
/// A connection that the application drops while it is open is replaced. A message that was queued when a connection broke is
/// not sent again: the application has to find out which messages the server has received.
///
/// ```no_run
/// # async fn run() -> Result<(), ws_smol::Error> {
/// use ws_smol::Client;
///
/// let mut last = 0;
/// let mut connections = Client::new("ws://127.0.0.1:9001/prices").reconnecting();
/// while let Some(ws) = connections.next().await {
///     let mut ws = ws?;
///     ws.send(format!("resume {last}")).await?;
///     // An error ends this connection. `next` decides if there is another one.
///     while let Ok(Some(message)) = ws.receive().await {
///         println!("{message}");
///         last += 1;
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// [`start`](Self::start) runs callbacks instead.
#[must_use = "nothing is connected before `next` or `start` is called"]
#[derive(Debug)]
pub struct Reconnecting(Reconnector<Client, ChangedClient>);

impl Reconnecting {
    pub(super) fn new(client: Client, policy: ReconnectPolicy) -> Self {
        Self(Reconnector::new(client, policy, |client, _| Box::pin(ready(client)) as ChangedClient))
    }

    /// Sets the function that decides if the client connects again after this error: of an attempt, or of a connection that has
    /// ended, as [`Error::Closed`] or [`Error::Disconnected`]. It is not called after a close by this application. Default:
    /// [`Error::is_transient`].
    pub fn retry_if(mut self, decide: impl FnMut(&Error) -> bool + Send + 'static) -> Self {
        self.0.retry_if(decide);
        self
    }

    /// Sets a function that may change the client before each attempt, including the first one, such as a new token or another
    /// address. It receives the client without its earlier changes.
    pub fn before_attempt<F>(
        mut self,
        mut hook: impl FnMut(Client, &ReconnectAttempt<'_>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Client> + Send + 'static,
    {
        self.0.before_attempt(move |client, attempt| Box::pin(hook(client, attempt)));
        self
    }

    /// Waits, and connects. Returns `None` after the last connection.
    ///
    /// Dropping the future ends the wait or the attempt at once. The next call continues to wait, or begins another attempt.
    ///
    /// # Errors
    ///
    /// Returns the error after which the client does not connect again. It is one of [`Client::connect`], or that of the end of
    /// the last connection.
    pub async fn next(&mut self) -> Option<Result<WebSocket, Error>> {
        Some(self.connect().await?.map(|(ws, ..)| ws))
    }

    /// Runs the callbacks for one connection after the other, in a task that is passed to `spawn`. It does not wait for the first
    /// connection.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), ws_smol::Error> {
    /// use std::time::Duration;
    /// use ws_smol::{Callbacks, Client, WhileDisconnected};
    ///
    /// let callbacks = Callbacks::new()
    ///     .on_connect(|session| drop(session.send("Hello")))
    ///     .on_message(|_session, message| println!("{message}"));
    /// let wait = WhileDisconnected::Wait(Duration::from_secs(10));
    /// let client = Client::new("ws://127.0.0.1:9001/chat").reconnecting();
    /// let client = client.start(callbacks, wait, |task| smol::spawn(task).detach());
    /// client.send("Are you there?").await?;
    /// client.stop(Duration::from_secs(5)).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(
        self,
        callbacks: Callbacks,
        while_disconnected: WhileDisconnected,
        spawn: impl FnOnce(Task),
    ) -> ReconnectingClient {
        let handle = ReconnectingClient::new(while_disconnected);
        spawn(Box::pin(handle.clone().run(self, Arc::new(callbacks))));
        handle
    }

    /// Works like [`next`](Self::next), and also returns the response of the server and the path of the request.
    pub(super) async fn connect(&mut self) -> Option<Result<(WebSocket, Response, String), Error>> {
        let (clock, mut timer) = (self.0.clock(), LazyTimer::default());
        loop {
            let record = match self.0.next_step() {
                ReconnectStep::Wait(until) => {
                    poll_fn(|cx| timer.poll(Some(until), clock, cx)).await;
                    continue;
                }
                ReconnectStep::Connect(record) => record,
                ReconnectStep::End(error) => return error.map(Err),
            };
            let client = self.0.begin_attempt().await;
            let path = client.path();
            match connecting::connect(client.settings).await {
                Ok(open) => {
                    self.0.connected(record.clone());
                    let (ws, response) = websocket_recording(open, client.read_timeout, Some(record));
                    return Some(Ok((ws, response, path)));
                }
                Err(error) => self.0.failed(error),
            }
        }
    }
}
