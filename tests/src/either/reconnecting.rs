//! Clients that connect again by themselves.

use std::time::Duration;

use ws_std::{Callbacks, Error, Message, ReconnectAttempt, ReconnectPolicy, Session, WhileDisconnected};

use super::{Client, WebSocket};

/// The connections of a client of either adapter.
#[derive(Debug)]
#[must_use]
pub enum Reconnecting {
    /// The variant of `ws-std`.
    Std(ws_std::Reconnecting),
    /// The variant of `ws-smol`.
    Smol(ws_smol::Reconnecting),
}

impl Client {
    /// Same as `Client::reconnect`.
    pub fn reconnect(self, policy: ReconnectPolicy) -> Reconnecting {
        match self {
            Self::Std(client) => Reconnecting::Std(client.reconnect(policy)),
            Self::Smol(client) => Reconnecting::Smol(client.reconnect(policy)),
        }
    }
}

impl Reconnecting {
    /// Same as `Reconnecting::retry_if`.
    pub fn retry_if(self, decide: impl FnMut(&Error) -> bool + Send + 'static) -> Self {
        either!(self self, connections => connections.retry_if(decide))
    }

    /// Same as `Reconnecting::before_attempt`.
    pub fn before_attempt(
        self,
        mut hook: impl FnMut(Client, &ReconnectAttempt<'_>) -> Client + Send + 'static,
    ) -> Self {
        match self {
            Self::Std(connections) => Self::Std(connections.before_attempt(move |client, attempt| {
                let Client::Std(client) = hook(Client::Std(client), attempt) else {
                    panic!("another adapter")
                };
                client
            })),
            Self::Smol(connections) => Self::Smol(connections.before_attempt(move |client, attempt| {
                let Client::Smol(client) = hook(Client::Smol(client), attempt) else {
                    panic!("another adapter")
                };
                std::future::ready(client)
            })),
        }
    }

    /// Returns the next connection. Panics if there is none.
    pub fn connection(&mut self) -> WebSocket {
        self.next().expect("no end").expect("a connection")
    }

    /// Same as `Reconnecting::start`. The task of `ws-smol` runs on the global executor of `smol`.
    pub fn start(self, callbacks: Callbacks, while_disconnected: WhileDisconnected) -> ReconnectingClient {
        match self {
            Self::Std(connections) => {
                ReconnectingClient::Std(connections.start(callbacks, while_disconnected).expect("a thread"))
            }
            Self::Smol(connections) => {
                let spawn = |task| smol::spawn(task).detach();
                ReconnectingClient::Smol(connections.start(callbacks, while_disconnected, spawn))
            }
        }
    }
}

/// Same as `Reconnecting::next`.
impl Iterator for Reconnecting {
    type Item = Result<WebSocket, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Std(connections) => connections.next().map(|next| next.map(WebSocket::Std)),
            Self::Smol(connections) => {
                smol::block_on(connections.next()).map(|next| next.map(WebSocket::Smol))
            }
        }
    }
}

/// A client with callbacks of either adapter that connects again.
#[derive(Clone, Debug)]
pub enum ReconnectingClient {
    /// The variant of `ws-std`.
    Std(ws_std::ReconnectingClient),
    /// The variant of `ws-smol`.
    Smol(ws_smol::ReconnectingClient),
}

impl ReconnectingClient {
    /// Same as `ReconnectingClient::session`.
    pub fn session(&self) -> Option<Session> {
        either!(self, client => client.session())
    }

    /// Same as `ReconnectingClient::send`.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        either!(self, client => client.send(message), async client.send(message))
    }

    /// Same as `ReconnectingClient::wait`.
    pub fn wait(&self) -> Result<(), Error> {
        either!(self, client => client.wait(), async client.wait())
    }

    /// Same as `ReconnectingClient::stop`.
    pub fn stop(&self, timeout: Duration) -> bool {
        either!(self, client => client.stop(timeout), async client.stop(timeout))
    }

    /// Same as `ReconnectingClient::begin_stop`.
    pub fn begin_stop(&self) {
        either!(self, client => client.begin_stop());
    }
}
