use std::{io, net::SocketAddr, sync::Arc};

use ws_core::{
    AddressRace, TimeoutKind, Timestamp,
    client::{Redirects, Request},
    proxy::{self, Protocol, Proxy},
};

use super::{
    ClientOpening, ClientSettings, Lookup,
    deadlines::{Deadline, after, earliest, passed},
    opening::{ProxyStage, Server},
    settings::ProxySource,
};
use crate::{AddressFailures, Clock, ConnectOptions, ConnectionSpan, Error};

/// Connects a client, and makes all decisions without I/O.
///
/// An adapter
///
/// 1. carries out each [`next_step`](Self::next_step) until an attempt has connected, and then drops the other attempts,
/// 2. moves bytes between this socket and the [`ClientOpening`] that [`open`](Self::open) returns,
/// 3. passes an error of the opening to [`redirect`](Self::redirect) and begins again if it returns `Ok`.
#[derive(Debug)]
pub struct Connector {
    settings: Box<ClientSettings>,
    request: Request,
    clock: Clock,
    total: Deadline,
    redirects: Redirects,
    proxy: Option<Proxy>,
    /// Deadlines of the phase, in the order in which they count.
    resolve: Deadline,
    connect: Deadline,
    state: State,
    /// The server's address as SOCKS5 needs it, if this end resolves it.
    resolved_server: Option<SocketAddr>,
}

#[derive(Debug)]
enum State {
    /// Resolves the name of the host to connect to.
    Resolve,
    /// Resolves the name of the server behind the proxy. The addresses are those of the proxy.
    ResolveServer(Vec<SocketAddr>),
    Race(AddressRace, AddressFailures),
}

/// The next action of an adapter that connects.
#[derive(Debug)]
pub enum ConnectStep {
    /// Run the lookup, and pass its result to [`Connector::resolved`], or `None` at this time.
    Resolve(Lookup, Option<Timestamp>),
    /// Begin to connect a [`socket`](Connector::socket) to this address.
    Connect(SocketAddr),
    /// Wait until an attempt has connected or failed, but not beyond this time. Pass the error of one that has failed to
    /// [`Connector::attempt_failed`].
    Wait(Option<Timestamp>),
}

impl Connector {
    /// Begins to connect.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Url`] if the URL is invalid.
    /// - Returns [`Error::Proxy`] if the URL of the proxy is invalid.
    pub fn new(settings: ClientSettings) -> Result<Self, Error> {
        let mut connector = Self::over_stream(settings)?;
        connector.redirects = Redirects::new(connector.settings.max_redirects);
        connector.begin()?;
        Ok(connector)
    }

    /// Begins to open a WebSocket on one stream, without a proxy and without redirects: a Unix-domain socket or a stream of
    /// the application. Only [`open`](Self::open) may follow.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Url`] if the URL is invalid.
    pub fn over_stream(settings: ClientSettings) -> Result<Self, Error> {
        let request = settings.request.clone()?;
        let clock = Clock::start();
        let now = clock.now();
        let connect = after(now, settings.connect.connect_timeout, TimeoutKind::Connect);
        Ok(Self {
            request,
            clock,
            total: after(now, settings.connect.total_timeout, TimeoutKind::Total),
            redirects: Redirects::new(0),
            proxy: None,
            resolve: connect,
            connect,
            state: State::Resolve,
            resolved_server: None,
            settings: Box::new(settings),
        })
    }

    /// Begins to connect to the URL of the present request.
    fn begin(&mut self) -> Result<(), Error> {
        self.proxy = match &self.settings.proxy {
            ProxySource::None => None,
            ProxySource::Given(proxy) => Some(proxy.clone()?),
            ProxySource::Environment(environment) => environment.proxy_for(self.request.url())?,
        };
        let now = self.clock.now();
        let config = &self.settings.connect;
        self.connect = after(now, config.connect_timeout, TimeoutKind::Connect);
        let resolve = after(now, config.resolve_timeout, TimeoutKind::Resolve);
        // The connect timeout includes the resolution.
        self.resolve = (earliest(&[resolve, self.connect]), TimeoutKind::Resolve);
        self.state = State::Resolve;
        self.resolved_server = None;
        Ok(())
    }

    /// Returns the next action.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Timeout`] if a deadline has passed.
    /// - Returns [`Error::Io`] if no address of the host can be connected to, with the reason for each.
    pub fn next_step(&mut self) -> Result<ConnectStep, Error> {
        loop {
            let now = self.clock.now();
            if let State::Race(race, _) = &mut self.state {
                if let Some(kind) = passed(&[self.connect, self.total], now) {
                    return Err(Error::Timeout(kind));
                }
                if let Some(address) = race.next_attempt(now) {
                    return Ok(ConnectStep::Connect(address));
                }
                if race.is_lost() {
                    return Err(self.failure());
                }
                let next = (race.poll_timeout(), TimeoutKind::Connect);
                return Ok(ConnectStep::Wait(earliest(&[next, self.connect, self.total])));
            }
            if let Some(kind) = passed(&[self.resolve, self.total], now) {
                return Err(Error::Timeout(kind));
            }
            let (host, port) = self.name();
            match self.settings.names.find(host, port) {
                Ok(addresses) => self.found(addresses)?,
                Err(lookup) => {
                    return Ok(ConnectStep::Resolve(lookup, earliest(&[self.resolve, self.total])));
                }
            }
        }
    }

    /// Reports the result of a lookup, or `None` if it takes longer than it may.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Timeout`] if the result is `None`.
    /// - Returns [`Error::Io`] if the name cannot be resolved.
    pub fn resolved(&mut self, addresses: Option<io::Result<Vec<SocketAddr>>>) -> Result<(), Error> {
        let Some(addresses) = addresses else {
            let kind = passed(&[self.resolve, self.total], self.clock.now());
            return Err(Error::Timeout(kind.unwrap_or(TimeoutKind::Resolve)));
        };
        match addresses {
            Ok(addresses) => self.found(addresses),
            Err(error) if self.is_name_of_proxy() => Err(Error::of_resolve_proxy(self.name().0, &error)),
            Err(error) => Err(Error::of_resolve(self.name().0, &error)),
        }
    }

    /// Reports that an attempt to connect to this address has failed.
    pub fn attempt_failed(&mut self, address: SocketAddr, error: &io::Error) {
        if let State::Race(race, failures) = &mut self.state {
            race.attempt_failed();
            failures.add(address, error);
        }
    }

    /// Creates a socket that is ready to connect to this address.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`ConnectOptions::socket`].
    pub fn socket(&self, address: SocketAddr) -> io::Result<socket2::Socket> {
        self.settings.options.socket(address)
    }

    /// Begins the opening handshakes over the stream that is connected: with the proxy, of TLS, and of the WebSocket.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Tls`] or [`Error::ProxyTls`] if the TLS settings are invalid.
    /// - Returns [`Error::Proxy`] if the proxy cannot be asked for the server.
    /// - Returns [`Error::Handshake`] if the request cannot be sent.
    pub fn open(&self) -> Result<ClientOpening, Error> {
        let (settings, url, now) = (&self.settings, self.request.url(), self.clock.now());
        let server = Server {
            request: self.request.clone(),
            limits: settings.handshake.clone(),
            config: Arc::new(settings.config.clone()),
            tls: match url.is_secure() {
                true => Some(Box::new(settings.tls.session(url.server_name())?)),
                false => None,
            },
            tls_timeout: settings.connect.tls_timeout,
        };
        let Some(proxy) = &self.proxy else { return ClientOpening::new(server, self.total, now) };
        let tls = match proxy.protocol() {
            Protocol::Https => {
                Some(Box::new(settings.proxy_tls.session(proxy.server_name()).map_err(Error::ProxyTls)?))
            }
            _ => None,
        };
        let server_address = self.resolved_server.map(|address| address.ip().to_string());
        let host = server_address.as_deref().unwrap_or_else(|| url.server_name());
        let handshake = proxy::Handshake::new(proxy, host, url.port(), &settings.handshake)?;
        let deadline = after(now, settings.connect.proxy_timeout, TimeoutKind::Proxy);
        Ok(ClientOpening::through(ProxyStage::new(handshake, deadline), tls, server, self.total))
    }

    /// Begins to connect to the URL of a redirect. Call it with the error of the opening.
    ///
    /// # Errors
    ///
    /// Returns the error if it is not a redirect that may be followed, see [`Redirects::follow`].
    pub fn redirect(&mut self, error: Error) -> Result<(), Error> {
        let Error::Handshake(error) = error else { return Err(error) };
        self.request = self.redirects.follow(&self.request, error)?;
        self.begin()
    }

    /// Creates the span of the connection over a stream. Run the [`ClientOpening`] in it. `peer` is the other end of the
    /// stream, which may be a proxy.
    #[must_use]
    pub fn span(&self, peer: Option<SocketAddr>) -> ConnectionSpan {
        ConnectionSpan::client(peer, self.request.url().target())
    }

    /// Returns the clock of the connection.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Returns the deadline for connecting.
    #[must_use]
    pub fn connect_deadline(&self) -> Option<Timestamp> {
        earliest(&[self.connect, self.total])
    }

    /// Returns the error of a connection that did not come about until [`connect_deadline`](Self::connect_deadline).
    #[must_use]
    pub fn late(&self) -> Error {
        let kind = passed(&[self.connect, self.total], self.clock.now());
        Error::Timeout(kind.unwrap_or(TimeoutKind::Connect))
    }

    /// Returns the options of sockets.
    #[must_use]
    pub const fn options(&self) -> &ConnectOptions {
        &self.settings.options
    }

    /// Returns the name that is to be resolved.
    fn name(&self) -> (&str, u16) {
        match &self.proxy {
            Some(proxy) if matches!(self.state, State::Resolve) => (proxy.host(), proxy.port()),
            _ => (self.request.url().host(), self.request.url().port()),
        }
    }

    const fn is_name_of_proxy(&self) -> bool {
        self.proxy.is_some() && matches!(self.state, State::Resolve)
    }

    /// Continues with the addresses of the name.
    fn found(&mut self, addresses: Vec<SocketAddr>) -> Result<(), Error> {
        let Some(&first) = addresses.first() else {
            let (host, _) = self.name();
            return Err(Error::of_no_address(host));
        };
        let is_socks5 = self.proxy.as_ref().is_some_and(|proxy| proxy.protocol() == Protocol::Socks5);
        self.state = match std::mem::replace(&mut self.state, State::Resolve) {
            State::Resolve if is_socks5 => State::ResolveServer(addresses),
            State::Resolve => self.race(addresses),
            State::ResolveServer(proxy_addresses) => {
                self.resolved_server = Some(first);
                self.race(proxy_addresses)
            }
            race @ State::Race(..) => race,
        };
        Ok(())
    }

    fn race(&self, addresses: Vec<SocketAddr>) -> State {
        let action = if self.proxy.is_some() { "connect to the proxy" } else { "connect to" };
        let race = AddressRace::new(addresses, self.settings.connect.attempt_delay);
        State::Race(race, AddressFailures::new(action))
    }

    /// Returns the error when all addresses have failed.
    fn failure(&mut self) -> Error {
        match std::mem::replace(&mut self.state, State::Resolve) {
            State::Race(_, failures) => failures.into_connect_error(self.name().0),
            _ => Error::Timeout(TimeoutKind::Connect),
        }
    }
}
