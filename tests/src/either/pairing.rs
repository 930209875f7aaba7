use ws_std::Callbacks;

use super::{Adapter, Client, Handed, Route, Running, Server, WebSocket};
use crate::certificates::Authority;

/// Which adapter talks to which, and whether by TLS.
#[derive(Clone, Copy, Debug)]
pub struct Pairing {
    /// The client's.
    pub client: Adapter,
    /// The server's.
    pub server: Adapter,
    /// Whether it is `wss://`.
    pub secure: bool,
}

impl Pairing {
    /// One adapter at both ends.
    pub fn of(adapter: Adapter, secure: bool) -> Self {
        Self { client: adapter, server: adapter, secure }
    }

    /// A server that serves this route on `/`.
    pub fn serve(self, route: Route) -> Server {
        let server = Server::new(self.server).mount("/", route);
        if self.secure { server.tls(Authority::shared().server().serving()) } else { server }
    }

    /// A running server that has these callbacks on `/`.
    pub fn call_back(self, callbacks: Callbacks) -> Running {
        self.serve(Route::callbacks(self.server, callbacks)).start()
    }

    /// A client that asks a server for a path.
    pub fn client(self, server: &Running, path: &str) -> Client {
        let scheme = if self.secure { "wss" } else { "ws" };
        let url = format!("{scheme}://{}{path}", server.address());
        Client::new(self.client, &url).tls(Authority::shared().trusted())
    }

    /// A server and both ends of an open connection to it. In this order, so that the server, which waits for
    /// its connections to end, is dropped last.
    pub fn open(self) -> (Running, Handed, WebSocket) {
        let (route, take) = Route::hand_over(self.server);
        let server = self.serve(route).start();
        let client = self.client(&server, "/").connect().expect("a connection");
        (server, take(), client)
    }

    /// A server that echoes, and its client.
    pub fn echo(self) -> (Running, WebSocket) {
        let server = self.serve(Route::echo(self.server)).start();
        let client = self.client(&server, "/").connect().expect("a connection");
        (server, client)
    }
}

/// Makes tests of functions that take a [`Pairing`], one for each combination of adapters, by TLS and
/// without.
#[macro_export]
macro_rules! with_every_pairing {
    ($($test:ident)*) => {
        $crate::with_every_pairing!(@ std_to_std, Std, Std, false, $($test)*);
        $crate::with_every_pairing!(@ std_to_smol, Std, Smol, false, $($test)*);
        $crate::with_every_pairing!(@ smol_to_std, Smol, Std, false, $($test)*);
        $crate::with_every_pairing!(@ smol_to_smol, Smol, Smol, false, $($test)*);
        $crate::with_every_pairing_by_tls! { $($test)* }
    };
    (@ $pairing:ident, $client:ident, $server:ident, $secure:expr, $($test:ident)*) => {
        mod $pairing {
            use $crate::either::{Adapter, Pairing};
            $(
                #[test]
                fn $test() {
                    let (client, server) = (Adapter::$client, Adapter::$server);
                    $crate::bounded(move || super::$test(Pairing { client, server, secure: $secure }));
                }
            )*
        }
    };
}

/// As [`with_every_pairing`], by TLS only.
#[macro_export]
macro_rules! with_every_pairing_by_tls {
    ($($test:ident)*) => {
        $crate::with_every_pairing!(@ std_to_std_by_tls, Std, Std, true, $($test)*);
        $crate::with_every_pairing!(@ std_to_smol_by_tls, Std, Smol, true, $($test)*);
        $crate::with_every_pairing!(@ smol_to_std_by_tls, Smol, Std, true, $($test)*);
        $crate::with_every_pairing!(@ smol_to_smol_by_tls, Smol, Smol, true, $($test)*);
    };
}

/// Makes tests of functions that take an [`Adapter`], one for each.
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
