use ws_std::Callbacks;

use super::{Adapter, Client, Handed, Route, Running, Server, WebSocket};
use crate::{Transport, certificates::Authority};

/// The adapters of both ends, and the use of TLS.
#[derive(Clone, Copy, Debug)]
pub struct Pairing {
    /// The client's adapter.
    pub client: Adapter,
    /// The server's adapter.
    pub server: Adapter,
    /// The transport of the connections.
    pub transport: Transport,
}

impl Pairing {
    /// Creates a pairing of one adapter at both ends.
    pub fn of(adapter: Adapter, transport: Transport) -> Self {
        Self { client: adapter, server: adapter, transport }
    }

    /// Starts a server with this route on `/`.
    pub fn serve(self, route: Route) -> Server {
        let server = Server::new(self.server).mount("/", route);
        if self.transport.is_tls() { server.tls(Authority::shared().server().serving()) } else { server }
    }

    /// Starts a server with these callbacks on `/`.
    pub fn call_back(self, callbacks: Callbacks) -> Running {
        self.serve(Route::callbacks(self.server, callbacks)).start()
    }

    /// Creates a client for a path of the server.
    pub fn client(self, server: &Running, path: &str) -> Client {
        let scheme = if self.transport.is_tls() { "wss" } else { "ws" };
        let url = format!("{scheme}://{}{path}", server.address());
        Client::new(self.client, &url).tls(Authority::shared().trusted())
    }

    /// Returns a server and both ends of an open connection to it. The server is dropped last because it waits for
    /// its connections to end.
    pub fn open(self) -> (Running, Handed, WebSocket) {
        let (route, take) = Route::hand_over(self.server);
        let server = self.serve(route).start();
        let client = self.client(&server, "/").connect().expect("a connection");
        (server, take(), client)
    }

    /// Returns an echo server and its client.
    pub fn echo(self) -> (Running, WebSocket) {
        let server = self.serve(Route::echo(self.server)).start();
        let client = self.client(&server, "/").connect().expect("a connection");
        (server, client)
    }
}

/// Creates tests from functions that take a [`Pairing`]: one for each combination of adapters, with and without TLS.
#[macro_export]
macro_rules! with_every_pairing {
    ($($test:ident)*) => {
        $crate::with_every_pairing!(@ std_to_std, Std, Std, Plain, $($test)*);
        $crate::with_every_pairing!(@ std_to_smol, Std, Smol, Plain, $($test)*);
        $crate::with_every_pairing!(@ smol_to_std, Smol, Std, Plain, $($test)*);
        $crate::with_every_pairing!(@ smol_to_smol, Smol, Smol, Plain, $($test)*);
        $crate::with_every_pairing_by_tls! { $($test)* }
    };
    (@ $pairing:ident, $client:ident, $server:ident, $transport:ident, $($test:ident)*) => {
        mod $pairing {
            use $crate::either::{Adapter, Pairing};
            $(
                #[test]
                fn $test() {
                    let (client, server) = (Adapter::$client, Adapter::$server);
                    $crate::bounded(move || super::$test(Pairing { client, server, transport: $crate::Transport::$transport }));
                }
            )*
        }
    };
}

/// Same as [`with_every_pairing`], only with TLS.
#[macro_export]
macro_rules! with_every_pairing_by_tls {
    ($($test:ident)*) => {
        $crate::with_every_pairing!(@ std_to_std_by_tls, Std, Std, Tls, $($test)*);
        $crate::with_every_pairing!(@ std_to_smol_by_tls, Std, Smol, Tls, $($test)*);
        $crate::with_every_pairing!(@ smol_to_std_by_tls, Smol, Std, Tls, $($test)*);
        $crate::with_every_pairing!(@ smol_to_smol_by_tls, Smol, Smol, Tls, $($test)*);
    };
}

/// Creates tests from functions that take an [`Adapter`]: one for each adapter.
#[macro_export]
macro_rules! with_both_adapters {
    ($($test:ident)*) => {
        $crate::with_both_adapters!(@ with_std, Std, $($test)*);
        $crate::with_both_adapters!(@ with_smol, Smol, $($test)*);
    };
    (@ $name:ident, $adapter:ident, $($test:ident)*) => {
        mod $name {
            $(
                #[test]
                fn $test() {
                    $crate::bounded(|| super::$test($crate::either::Adapter::$adapter));
                }
            )*
        }
    };
}
