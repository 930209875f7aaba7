//! The settings of a client that connects: addresses, proxies, redirects and their timeouts.

use std::{io, net::SocketAddr};

use ws_std::{ClientTls, ConnectConfig};

use super::Client;

impl Client {
    /// Same as `Client::configure_connect`.
    pub fn configure_connect(self, change: impl FnOnce(&mut ConnectConfig)) -> Self {
        either!(self self, client => client.configure_connect(change))
    }

    /// Same as `Client::resolve`.
    pub fn resolve(self, host: &str, address: SocketAddr) -> Self {
        either!(self self, client => client.resolve(host, address))
    }

    /// Same as `Client::resolver`.
    pub fn resolver(
        self,
        resolver: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        either!(self self, client => client.resolver(resolver))
    }

    /// Same as `Client::proxy`.
    pub fn proxy(self, url: &str) -> Self {
        either!(self self, client => client.proxy(url))
    }

    /// Same as `Client::proxy_from_environment`.
    pub fn proxy_from_environment(self) -> Self {
        either!(self self, client => client.proxy_from_environment())
    }

    /// Same as `Client::proxy_tls`.
    pub fn proxy_tls(self, tls: ClientTls) -> Self {
        either!(self self, client => client.proxy_tls(tls))
    }

    /// Same as `Client::max_redirects`.
    pub fn max_redirects(self, redirects: u32) -> Self {
        either!(self self, client => client.max_redirects(redirects))
    }
}
