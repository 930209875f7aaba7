use ws_std::{Accept, Event, Request, Response};

use super::{Sender, Server, WebSocket};

impl Server {
    /// Same as `Server::check`.
    pub fn check(self, check: impl Fn(&Request) -> Result<Accept, Response> + Send + Sync + 'static) -> Self {
        either!(self self, server => server.check(check))
    }

    /// Same as `Server::default_header`.
    pub fn default_header(self, name: &str, value: &str) -> Self {
        either!(self self, server => server.default_header(name, value))
    }

    /// Same as `Server::error_page`.
    pub fn error_page(
        self,
        page: impl Fn(Option<&Request>, Response) -> Response + Send + Sync + 'static,
    ) -> Self {
        either!(self self, server => server.error_page(page))
    }
}

impl WebSocket {
    /// Same as `WebSocket::is_open`.
    pub fn is_open(&self) -> bool {
        either!(self, ws => ws.is_open())
    }

    /// Same as `WebSocket::observe_control`.
    pub fn observe_control(&mut self, observer: impl FnMut(&Event<'_>) + Send + Sync + 'static) {
        either!(self, ws => ws.observe_control(observer));
    }
}

impl Sender {
    /// Same as `Sender::is_open`.
    pub fn is_open(&self) -> bool {
        either!(self, sender => sender.is_open())
    }
}
