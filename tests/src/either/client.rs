use std::{net::SocketAddr, path::Path, time::Duration};

use ws_std::{Callbacks, ClientTls, Config, Error, HandshakeConfig, Response, Session, SocketOptions};

use super::{Adapter, WebSocket};
use crate::{Raw, RawListener, certificates::Authority, tls::RawTls};

/// A client of either adapter before it connects.
#[derive(Clone, Debug)]
#[must_use]
pub enum Client {
    /// The variant of `ws-std`.
    Std(ws_std::Client),
    /// The variant of `ws-smol`.
    Smol(ws_smol::Client),
}

impl Client {
    /// Same as `Client::new`.
    pub fn new(adapter: Adapter, url: &str) -> Self {
        match adapter {
            Adapter::Std => Self::Std(ws_std::Client::new(url)),
            Adapter::Smol => Self::Smol(ws_smol::Client::new(url)),
        }
    }

    /// Same as `Client::header`.
    pub fn header(self, name: &str, value: &str) -> Self {
        either!(self self, client => client.header(name, value))
    }

    /// Same as `Client::subprotocol`.
    pub fn subprotocol(self, name: &str) -> Self {
        either!(self self, client => client.subprotocol(name))
    }

    /// Same as `Client::configure`.
    pub fn configure(self, change: impl FnOnce(&mut Config)) -> Self {
        either!(self self, client => client.configure(change))
    }

    /// Same as `Client::configure_handshake`.
    pub fn configure_handshake(self, change: impl FnOnce(&mut HandshakeConfig)) -> Self {
        either!(self self, client => client.configure_handshake(change))
    }

    /// Same as `Client::read_timeout`.
    pub fn read_timeout(self, timeout: Duration) -> Self {
        either!(self self, client => client.read_timeout(Some(timeout)))
    }

    /// Same as `Client::write_timeout`.
    pub fn write_timeout(self, timeout: Duration) -> Self {
        either!(self self, client => client.write_timeout(Some(timeout)))
    }

    /// Same as `Client::connect_timeout`.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        either!(self self, client => client.connect_timeout(timeout))
    }

    /// Same as `Client::local_address`.
    pub fn local_address(self, address: SocketAddr) -> Self {
        either!(self self, client => client.local_address(address))
    }

    /// Same as `Client::socket_options`.
    pub fn socket_options(self, change: impl FnOnce(&mut SocketOptions)) -> Self {
        either!(self self, client => client.socket_options(change))
    }

    /// Same as `Client::tls`.
    pub fn tls(self, tls: ClientTls) -> Self {
        either!(self self, client => client.tls(tls))
    }

    /// Same as `Client::connect`.
    pub fn connect(self) -> Result<WebSocket, Error> {
        self.connect_with_response().map(|(ws, _)| ws)
    }

    /// Same as `Client::connect_with_response`.
    pub fn connect_with_response(self) -> Result<(WebSocket, Response), Error> {
        match self {
            Self::Std(client) => {
                client.connect_with_response().map(|(ws, response)| (WebSocket::Std(ws), response))
            }
            Self::Smol(client) => smol::block_on(client.connect_with_response())
                .map(|(ws, response)| (WebSocket::Smol(ws), response)),
        }
    }

    /// Connects a client with changed settings to a raw server, and returns both ends.
    pub fn connected_to_raw(adapter: Adapter, change: impl FnOnce(Self) -> Self + Send) -> (WebSocket, Raw) {
        RawListener::connected(|url| change(Self::new(adapter, url)).connect().expect("a connection"))
    }

    /// Connects a client with TLS to a raw server, and returns both ends.
    pub fn connected_to_raw_tls(adapter: Adapter) -> (WebSocket, RawTls) {
        RawTls::connected(|url| {
            Self::new(adapter, url).tls(Authority::shared().trusted()).connect().expect("a connection")
        })
    }

    /// Same as `Client::start`. The task of `ws-smol` runs on the global executor of `smol`.
    pub fn start(self, callbacks: Callbacks) -> Result<ClientHandle, Error> {
        match self {
            Self::Std(client) => client.start(callbacks).map(ClientHandle::Std),
            Self::Smol(client) => smol::block_on(client.start(callbacks, |task| smol::spawn(task).detach()))
                .map(ClientHandle::Smol),
        }
    }

    /// Same as `Client::connect_unix`.
    pub fn connect_unix(self, path: impl AsRef<Path>) -> Result<WebSocket, Error> {
        match self {
            Self::Std(client) => client.connect_unix(path).map(WebSocket::Std),
            Self::Smol(client) => smol::block_on(client.connect_unix(path)).map(WebSocket::Smol),
        }
    }
}

/// A client of either adapter with callbacks.
#[derive(Debug)]
pub enum ClientHandle {
    /// The variant of `ws-std`.
    Std(ws_std::ClientHandle),
    /// The variant of `ws-smol`.
    Smol(ws_smol::ClientHandle),
}

impl ClientHandle {
    /// Same as `ClientHandle::session`.
    pub fn session(&self) -> &Session {
        either!(self, handle => handle.session())
    }

    /// Same as `ClientHandle::wait`.
    pub fn wait(&self) {
        either!(self, handle => handle.wait(), async handle.wait());
    }

    /// Same as `ClientHandle::begin_stop`.
    pub fn begin_stop(&self) {
        either!(self, handle => handle.begin_stop());
    }

    /// Same as `ClientHandle::stop`.
    pub fn stop(self, timeout: Duration) -> bool {
        either!(self, handle => handle.stop(timeout), async handle.stop(timeout))
    }
}
