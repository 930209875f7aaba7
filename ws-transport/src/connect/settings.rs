use std::{env, io, net::SocketAddr, time::Duration};

use ws_core::{
    AddressRace, Config, HandshakeConfig, Url, UrlError,
    client::Request,
    proxy::{Environment, Proxy, ProxyError},
};

use super::lookup::Names;
use crate::{
    ConnectOptions,
    tls::{ClientTls, ClientTlsConfig},
};

/// Timeouts of a client that connects, one for each phase. The opening handshake has its own,
/// [`open_timeout`](HandshakeConfig::open_timeout). After a redirect, all of them except `total_timeout` start again. `None`:
/// no limit.
///
/// ```
/// use std::time::Duration;
/// use ws_transport::ConnectConfig;
///
/// let mut config = ConnectConfig::default();
/// config.tls_timeout = Some(Duration::from_secs(5));
/// config.total_timeout = Some(Duration::from_secs(15));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectConfig {
    /// Maximum duration of resolving the name of the host. Default: 10 seconds.
    pub resolve_timeout: Option<Duration>,
    /// Maximum duration of connecting, for all addresses together, including the resolution of the name. With a proxy, it
    /// applies to the connection to the proxy. Default: 10 seconds.
    pub connect_timeout: Option<Duration>,
    /// Delay after which a client also connects to the next address of the host, while it still waits for the one before
    /// (RFC 8305 section 5). Less than 10 milliseconds counts as 10 milliseconds. Default: 250 milliseconds.
    pub attempt_delay: Duration,
    /// Maximum duration from the connection to the proxy until the proxy has connected to the server, including TLS to the
    /// proxy. Default: 10 seconds.
    pub proxy_timeout: Option<Duration>,
    /// Maximum duration of the TLS handshake with the server. It is also a part of the opening handshake, whose timeout
    /// starts at the same time. Default: 10 seconds.
    pub tls_timeout: Option<Duration>,
    /// Maximum duration of everything until the WebSocket is open, including redirects. Default: `None`.
    pub total_timeout: Option<Duration>,
}

impl Default for ConnectConfig {
    fn default() -> Self {
        const DEFAULT: Option<Duration> = Some(Duration::from_secs(10));
        Self {
            resolve_timeout: DEFAULT,
            connect_timeout: DEFAULT,
            attempt_delay: AddressRace::DEFAULT_DELAY,
            proxy_timeout: DEFAULT,
            tls_timeout: DEFAULT,
            total_timeout: None,
        }
    }
}

/// Everything that a client needs to connect.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The request, or the reason why the URL is invalid.
    pub request: Result<Request, UrlError>,
    /// Limits of the opening handshake.
    pub handshake: HandshakeConfig,
    /// Limits and deadlines of the connection.
    pub config: Config,
    /// Timeouts of connecting.
    pub connect: ConnectConfig,
    /// Options of the sockets.
    pub options: ConnectOptions,
    /// TLS to the server.
    pub tls: ClientTlsConfig,
    /// TLS to an `https` proxy.
    pub proxy_tls: ClientTlsConfig,
    /// Maximum number of redirects.
    pub max_redirects: u32,
    pub(super) proxy: ProxySource,
    pub(super) names: Names,
}

#[derive(Clone, Debug)]
pub(super) enum ProxySource {
    None,
    Given(Result<Proxy, ProxyError>),
    Environment(Box<Environment>),
}

impl ClientSettings {
    /// Creates the default settings for a URL.
    #[must_use]
    pub fn new<U>(url: U) -> Self
    where
        U: TryInto<Url, Error: Into<UrlError>>,
    {
        Self {
            request: url.try_into().map(Request::new).map_err(Into::into),
            handshake: HandshakeConfig::default(),
            config: Config::default(),
            connect: ConnectConfig::default(),
            options: ConnectOptions::default(),
            tls: ClientTls::new().into(),
            proxy_tls: ClientTls::new().into(),
            max_redirects: 0,
            proxy: ProxySource::None,
            names: Names::default(),
        }
    }

    /// Changes the request, if the URL is valid.
    #[must_use]
    pub fn with_request(mut self, change: impl FnOnce(Request) -> Request) -> Self {
        self.request = self.request.map(change);
        self
    }

    /// Sets the proxy. The [`Connector`](super::Connector) returns the error of an invalid URL.
    pub fn set_proxy(&mut self, url: &str) {
        self.proxy = ProxySource::Given(url.parse());
    }

    /// Reads the proxies from the environment variables of this process.
    pub fn set_proxy_from_environment(&mut self) {
        let environment = Environment::new(|name| env::var(name).ok());
        self.proxy = ProxySource::Environment(Box::new(environment));
    }

    /// Adds an address of a host. If its port is 0, it is that of the URL.
    pub fn add_address(&mut self, host: &str, address: SocketAddr) {
        self.names.add(host, address);
    }

    /// Sets a function that resolves names in place of the operating system.
    pub fn set_resolver(
        &mut self,
        resolver: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) {
        self.names.set_resolver(resolver);
    }
}
