use std::{
    net::{SocketAddr, ToSocketAddrs},
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex, OnceLock, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use ws_std::{
    Accept, AdmissionDecision, AdmissionLimits, Arrival, Callbacks, Config, ConnectionError, Error,
    ForwardedHeaders, HandshakeConfig, OriginPolicy, Request, Response, ServerMetrics, ServerTls,
    SocketOptions, TrustedProxies,
};

use ws_transport::tls::rustls;

use super::{Adapter, Handle, Running, WebSocket};
use crate::{PATIENCE, Raw};

/// A route of either adapter.
#[derive(Clone, Debug)]
#[must_use]
pub enum Route {
    /// The variant of `ws-std`.
    Std(ws_std::Route),
    /// The variant of `ws-smol`.
    Smol(ws_smol::Route),
}

/// A server's end of a connection in the hands of the test. The handler has handed over the connection and returns
/// when this value is dropped.
#[derive(Debug)]
pub struct Handed {
    /// The client's request.
    pub request: Request,
    /// The connection.
    pub ws: WebSocket,
    _handler: Release,
}

#[derive(Debug)]
enum Release {
    Std { _release: mpsc::Sender<()> },
    Smol { _release: smol::channel::Sender<()> },
}

impl Route {
    /// Returns a route that echoes each message.
    pub fn echo(adapter: Adapter) -> Self {
        match adapter {
            Adapter::Std => Self::Std(ws_std::Route::new(crate::echo)),
            Adapter::Smol => Self::Smol(ws_smol::Route::new(|_, mut ws| async move {
                while let Some(message) = ws.receive().await? {
                    ws.feed(message).await?;
                }
                Ok(())
            })),
        }
    }

    /// Returns a route that answers each message with a binary message of this size. All bytes are 7.
    pub fn answer_each(adapter: Adapter, len: usize) -> Self {
        match adapter {
            Adapter::Std => Self::Std(ws_std::Route::new(move |_, mut ws| {
                while ws.receive()?.is_some() {
                    ws.feed(vec![7; len])?;
                }
                Ok(())
            })),
            Adapter::Smol => Self::Smol(ws_smol::Route::new(move |_, ws| async move {
                Ok(answer_each_message(ws, len).await?)
            })),
        }
    }

    /// Returns a route that receives one message and then runs this function, which may fail or panic.
    pub fn after_one(adapter: Adapter, then: fn() -> ws_std::HandlerResult) -> Self {
        match adapter {
            Adapter::Std => Self::Std(ws_std::Route::new(move |_, mut ws| {
                ws.receive()?;
                then()
            })),
            Adapter::Smol => Self::Smol(ws_smol::Route::new(move |_, mut ws| async move {
                ws.receive().await?;
                then()
            })),
        }
    }

    /// Returns a route that panics at once. In `ws-smol` that happens before there is a future.
    pub fn panics(adapter: Adapter) -> Self {
        match adapter {
            Adapter::Std => Self::Std(ws_std::Route::new(|_, _| panic!("on purpose"))),
            Adapter::Smol => Self::Smol(ws_smol::Route::new(|_, _| -> std::future::Ready<_> {
                panic!("on purpose");
            })),
        }
    }

    /// Returns a route that stops the server in its handler and sends the result of `stop` to the test.
    pub fn stops(adapter: Adapter, handle: &Arc<OnceLock<Handle>>, then: mpsc::Sender<bool>) -> Self {
        let (handle, then) = (handle.clone(), Mutex::new(then));
        let then = move || then.lock().expect("no panic").clone();
        match adapter {
            Adapter::Std => Self::Std(ws_std::Route::new(move |_, _| {
                let Some(Handle::Std(handle)) = handle.get() else { panic!("not a handle") };
                Ok(then().send(handle.stop(PATIENCE))?)
            })),
            Adapter::Smol => Self::Smol(ws_smol::Route::new(move |_, _| {
                let Some(Handle::Smol(handle)) = handle.get().cloned() else { panic!("not a handle") };
                let then = then();
                async move { Ok(then.send(handle.stop(PATIENCE).await)?) }
            })),
        }
    }

    /// Returns a route that hands its connections to the test, and the function that takes them.
    pub fn hand_over(adapter: Adapter) -> (Self, impl Fn() -> Handed) {
        let (hand, handed) = mpsc::channel();
        let hand = Mutex::new(hand);
        let hand =
            move |handed| hand.lock().expect("no panic").send(handed).map_err(|_| "the test has ended");
        let route = match adapter {
            Adapter::Std => Self::Std(ws_std::Route::new(move |request, ws| {
                let (release, released) = mpsc::channel();
                let _handler = Release::Std { _release: release };
                hand(Handed { request, ws: WebSocket::Std(ws), _handler })?;
                let _ = released.recv();
                Ok(())
            })),
            Adapter::Smol => Self::Smol(ws_smol::Route::new(move |request, ws| {
                let (release, released) = smol::channel::bounded(1);
                let _handler = Release::Smol { _release: release };
                let handed = hand(Handed { request, ws: WebSocket::Smol(ws), _handler });
                async move {
                    handed?;
                    let _ = released.recv().await;
                    Ok(())
                }
            })),
        };
        (route, move || handed.recv_timeout(PATIENCE).expect("a connection"))
    }

    /// Same as `Route::callbacks`.
    pub fn callbacks(adapter: Adapter, callbacks: Callbacks) -> Self {
        match adapter {
            Adapter::Std => Self::Std(ws_std::Route::callbacks(callbacks)),
            Adapter::Smol => Self::Smol(ws_smol::Route::callbacks(callbacks)),
        }
    }

    /// Same as `Route::subprotocols`.
    pub fn subprotocols(self, names: &[&str]) -> Self {
        either!(self self, route => route.subprotocols(names.iter().copied()))
    }

    /// Same as `Route::check`.
    pub fn check(self, check: impl Fn(&Request) -> Result<Accept, Response> + Send + Sync + 'static) -> Self {
        either!(self self, route => route.check(check))
    }

    /// Same as `Route::configure`.
    pub fn configure(self, change: impl Fn(&mut Config) + Send + Sync + 'static) -> Self {
        either!(self self, route => route.configure(change))
    }

    /// Same as `Route::origin`.
    pub fn origin(self, policy: OriginPolicy) -> Self {
        either!(self self, route => route.origin(policy))
    }
}

/// Answers each message with a binary message of this size. All bytes are 7.
pub async fn answer_each_message(mut ws: ws_smol::WebSocket, len: usize) -> Result<(), Error> {
    while ws.receive().await?.is_some() {
        ws.feed(vec![7; len]).await?;
    }
    Ok(())
}

/// A server of either adapter before it listens.
#[derive(Debug)]
#[must_use]
pub enum Server {
    /// The variant of `ws-std`.
    Std(ws_std::Server),
    /// The variant of `ws-smol`.
    Smol(ws_smol::Server),
}

impl Server {
    /// Same as `Server::new`.
    pub fn new(adapter: Adapter) -> Self {
        match adapter {
            Adapter::Std => Self::Std(ws_std::Server::new()),
            Adapter::Smol => Self::Smol(ws_smol::Server::new()),
        }
    }

    /// Same as `Server::mount` for a route of the same adapter.
    pub fn mount(self, path: &str, route: Route) -> Self {
        match (self, route) {
            (Self::Std(server), Route::Std(route)) => Self::Std(server.mount(path, route)),
            (Self::Smol(server), Route::Smol(route)) => Self::Smol(server.mount(path, route)),
            (server, route) => panic!("{route:?} is not for {server:?}"),
        }
    }

    /// Same as `Server::configure`.
    pub fn configure(self, change: impl FnOnce(&mut Config)) -> Self {
        either!(self self, server => server.configure(change))
    }

    /// Same as `Server::configure_handshake`.
    pub fn configure_handshake(self, change: impl FnOnce(&mut HandshakeConfig)) -> Self {
        either!(self self, server => server.configure_handshake(change))
    }

    /// Same as `Server::read_timeout`.
    pub fn read_timeout(self, timeout: Duration) -> Self {
        either!(self self, server => server.read_timeout(Some(timeout)))
    }

    /// Same as `Server::write_timeout`.
    pub fn write_timeout(self, timeout: Duration) -> Self {
        either!(self self, server => server.write_timeout(Some(timeout)))
    }

    /// Same as `Server::max_connections`.
    pub fn max_connections(self, most: usize) -> Self {
        either!(self self, server => server.max_connections(most))
    }

    /// Same as `Server::admission_limits`.
    pub fn admission_limits(self, change: impl FnOnce(&mut AdmissionLimits)) -> Self {
        either!(self self, server => server.admission_limits(change))
    }

    /// Same as `Server::admission_check`.
    pub fn admission_check(
        self,
        check: impl Fn(&Arrival) -> AdmissionDecision + Send + Sync + 'static,
    ) -> Self {
        either!(self self, server => server.admission_check(check))
    }

    /// Same as `Server::memory_limit`.
    pub fn memory_limit(self, bytes: usize) -> Self {
        either!(self self, server => server.memory_limit(bytes))
    }

    /// Sets `ListenOptions::reuse_port` with `Server::listen_options`.
    pub fn reuse_port(self) -> Self {
        either!(self self, server => server.listen_options(|options| options.reuse_port = true))
    }

    /// Same as `Server::listen_options`, for `backlog`.
    pub fn backlog(self, backlog: i32) -> Self {
        either!(self self, server => server.listen_options(|options| options.backlog = backlog))
    }

    /// Same as `Server::page`.
    pub fn page(self, path: &str, page: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        either!(self self, server => server.page(path, page))
    }

    /// Same as `Server::on_error`.
    pub fn on_error(self, hook: impl Fn(&ConnectionError) + Send + Sync + 'static) -> Self {
        either!(self self, server => server.on_error(hook))
    }

    /// Same as `Server::listen_options`, for `socket`.
    pub fn socket_options(self, change: impl FnOnce(&mut SocketOptions)) -> Self {
        either!(self self, server => server.listen_options(|options| change(&mut options.socket)))
    }

    /// Sets `ListenOptions::notsent_lowat`.
    pub fn notsent_lowat(self, bytes: u32) -> Self {
        either!(self self, server => server.listen_options(|options| options.notsent_lowat = Some(bytes)))
    }

    /// Same as `Server::monitor`.
    pub fn monitor(&self) -> ServerMetrics {
        either!(self, server => server.monitor())
    }

    /// Same as `Server::trust_forwarded`.
    pub fn trust_forwarded(self, headers: ForwardedHeaders, proxies: TrustedProxies) -> Self {
        either!(self self, server => server.trust_forwarded(headers, proxies))
    }

    /// Same as `Server::proxy_protocol`.
    pub fn proxy_protocol(self, proxies: TrustedProxies) -> Self {
        either!(self self, server => server.proxy_protocol(proxies))
    }

    /// Same as `Server::tls`, with a configuration of rustls.
    pub fn tls_config(self, config: rustls::ServerConfig) -> Self {
        either!(self self, server => server.tls(config))
    }

    /// Same as `Server::tls`.
    pub fn tls(self, tls: ServerTls) -> Self {
        either!(self self, server => server.tls(tls))
    }

    /// Same as `Server::bind`. It also serves.
    pub fn bind(self, address: impl ToSocketAddrs) -> Result<Running, Error> {
        Ok(match self {
            Self::Std(server) => server.bind(address)?.into(),
            Self::Smol(server) => server.bind(address)?.into(),
        })
    }

    /// Listens on a free port, and drops the listener without serving.
    pub fn listen_and_drop(self) -> (SocketAddr, Handle) {
        match self {
            Self::Std(server) => {
                let listener = server.bind("127.0.0.1:0").expect("a port");
                (listener.local_addr().expect("an address"), Handle::Std(listener.handle()))
            }
            Self::Smol(server) => {
                let listener = server.bind("127.0.0.1:0").expect("a port");
                (listener.local_addr().expect("an address"), Handle::Smol(listener.handle()))
            }
        }
    }

    /// Stops the server after a client has connected, and serves only then.
    pub fn stop_and_serve(self) -> (Raw, JoinHandle<Result<(), Error>>) {
        match self {
            Self::Std(server) => {
                let listener = server.bind("127.0.0.1:0").expect("a port");
                let raw = Raw::connect(listener.local_addr().expect("an address"));
                listener.handle().begin_stop(PATIENCE);
                (raw, thread::spawn(move || listener.serve()))
            }
            Self::Smol(server) => {
                let listener = server.bind("127.0.0.1:0").expect("a port");
                let raw = Raw::connect(listener.local_addr().expect("an address"));
                listener.handle().begin_stop(PATIENCE);
                (raw, thread::spawn(move || smol::block_on(listener.serve())))
            }
        }
    }

    /// Same as `Server::bind_unix`. It also serves.
    pub fn bind_unix(self, path: &Path) -> Result<Running, Error> {
        Ok(match self {
            Self::Std(server) => server.bind_unix(path)?.into(),
            Self::Smol(server) => server.bind_unix(path)?.into(),
        })
    }

    /// Same as `Server::bind_socket`. It also serves.
    pub fn bind_socket(self, socket: impl Into<OwnedFd>) -> Result<Running, Error> {
        Ok(match self {
            Self::Std(server) => server.bind_socket(socket)?.into(),
            Self::Smol(server) => server.bind_socket(socket)?.into(),
        })
    }

    /// Listens on a free port of the loopback interface and serves.
    pub fn start(self) -> Running {
        self.bind("127.0.0.1:0").expect("a port")
    }
}
