//! Streams of the application below a WebSocket of either adapter.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::LazyLock,
    thread,
};

use smol::Async;
use ws_std::{Error, Relay};

use crate::either::WebSocket;

/// One end of a pair of connected sockets.
#[derive(Debug)]
pub enum End {
    /// A TCP socket on the loopback interface.
    Tcp(TcpStream),
    /// An unnamed Unix-domain socket.
    Unix(UnixStream),
}

/// Returns a pair of connected sockets of each kind.
pub fn pairs() -> [(End, End); 2] {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let (server, _) = listener.accept().expect("a client");
    for socket in [&client, &server] {
        socket.set_nodelay(true).expect("an option");
    }
    let (one, other) = UnixStream::pair().expect("a pair");
    [(End::Tcp(client), End::Tcp(server)), (End::Unix(one), End::Unix(other))]
}

/// A stream type over one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ws-std` on the socket itself.
    Std,
    /// `ws-std` on a reader and a writer.
    Relay,
    /// `ws-smol` on a socket of `async-io`.
    AsyncIo,
    /// `ws-smol` on a socket of `async-net`.
    AsyncNet,
    /// `ws-smol` on a socket of tokio.
    Tokio,
}

/// The runtime that drives sockets of tokio.
pub static TOKIO: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1).enable_all().build().expect("a runtime")
});

/// The writing half of a socket, which it shuts down when it is dropped.
struct Half<S: Socket>(S);

trait Socket: Read + Write + Send + Sized + 'static {
    fn halves(self) -> (Self, Half<Self>);
    fn end(&self);
}

impl Socket for TcpStream {
    fn halves(self) -> (Self, Half<Self>) {
        (self.try_clone().expect("a descriptor"), Half(self))
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Socket for UnixStream {
    fn halves(self) -> (Self, Half<Self>) {
        (self.try_clone().expect("a descriptor"), Half(self))
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl<S: Socket> Write for Half<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<S: Socket> Drop for Half<S> {
    fn drop(&mut self) {
        self.0.end();
    }
}

fn relay<S: Socket>(socket: S) -> Relay<S, Half<S>> {
    let (reader, writer) = socket.halves();
    Relay::new(reader, writer)
}

/// Applies the same expression to the stream of this kind: `$std` for `ws-std`, `$smol` for `ws-smol`.
macro_rules! over {
    ($kind:expr, $end:expr, $stream:ident => $std:expr, $smol:expr) => {{
        use tokio_util::compat::TokioAsyncReadCompatExt as _;
        let _runtime = TOKIO.enter();
        match ($kind, $end) {
            (Kind::Std, End::Tcp($stream)) => $std.map(WebSocket::Std),
            (Kind::Std, End::Unix($stream)) => $std.map(WebSocket::Std),
            (Kind::Relay, End::Tcp(socket)) => {
                let $stream = relay(socket);
                $std.map(WebSocket::Std)
            }
            (Kind::Relay, End::Unix(socket)) => {
                let $stream = relay(socket);
                $std.map(WebSocket::Std)
            }
            (Kind::AsyncIo, End::Tcp(socket)) => {
                let $stream = Async::new(socket).expect("a socket");
                smol::block_on($smol).map(WebSocket::Smol)
            }
            (Kind::AsyncIo, End::Unix(socket)) => {
                let $stream = Async::new(socket).expect("a socket");
                smol::block_on($smol).map(WebSocket::Smol)
            }
            (Kind::AsyncNet, End::Tcp(socket)) => {
                let $stream = smol::net::TcpStream::from(Async::new(socket).expect("a socket"));
                smol::block_on($smol).map(WebSocket::Smol)
            }
            (Kind::AsyncNet, End::Unix(socket)) => {
                let $stream = smol::net::unix::UnixStream::from(Async::new(socket).expect("a socket"));
                smol::block_on($smol).map(WebSocket::Smol)
            }
            (Kind::Tokio, End::Tcp(socket)) => {
                socket.set_nonblocking(true).expect("an option");
                let $stream = tokio::net::TcpStream::from_std(socket).expect("a socket").compat();
                smol::block_on($smol).map(WebSocket::Smol)
            }
            (Kind::Tokio, End::Unix(socket)) => {
                socket.set_nonblocking(true).expect("an option");
                let $stream = tokio::net::UnixStream::from_std(socket).expect("a socket").compat();
                smol::block_on($smol).map(WebSocket::Smol)
            }
        }
    }};
}

impl Kind {
    /// Opens the client's WebSocket on this end, with an additional header if there is one.
    pub fn connect(self, end: End, header: Option<(&str, &str)>) -> Result<WebSocket, Error> {
        let url = "ws://localhost/";
        let (mut std, mut smol) = (ws_std::Client::new(url), ws_smol::Client::new(url));
        if let Some((name, value)) = header {
            (std, smol) = (std.header(name, value), smol.header(name, value));
        }
        over!(self, end, stream => std.connect_over(stream), smol.connect_over(stream))
    }

    /// Accepts the server's WebSocket on this end.
    pub fn accept(self, end: End) -> Result<WebSocket, Error> {
        over!(self, end, stream => ws_std::accept(stream), ws_smol::accept(stream))
    }
}

/// The streams of both ends.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    /// The client's stream.
    pub client: Kind,
    /// The server's stream.
    pub server: Kind,
}

impl Streams {
    /// Opens a connection on a pair of TCP sockets and one on a pair of Unix-domain sockets. Returns the client's and the
    /// server's end of each.
    pub fn open(self) -> [(WebSocket, WebSocket); 2] {
        pairs().map(|(client, server)| {
            let accepting = thread::spawn(move || self.server.accept(server).expect("a client"));
            let client = self.client.connect(client, None).expect("a server");
            (client, accepting.join().expect("a server"))
        })
    }
}

/// Creates tests from functions that take [`Streams`]: one for each kind with itself, with a socket of `ws-std` and, for
/// `ws-smol`, with each other.
#[macro_export]
macro_rules! with_every_stream {
    ($($test:ident)*) => {
        $crate::with_every_stream!(@ std_to_std, Std, Std, $($test)*);
        $crate::with_every_stream!(@ std_to_relay, Std, Relay, $($test)*);
        $crate::with_every_stream!(@ std_to_async_net, Std, AsyncNet, $($test)*);
        $crate::with_every_stream!(@ std_to_tokio, Std, Tokio, $($test)*);
        $crate::with_every_stream!(@ relay_to_std, Relay, Std, $($test)*);
        $crate::with_every_stream!(@ relay_to_relay, Relay, Relay, $($test)*);
        $crate::with_every_stream!(@ async_net_to_std, AsyncNet, Std, $($test)*);
        $crate::with_every_stream!(@ std_to_async_io, Std, AsyncIo, $($test)*);
        $crate::with_every_stream!(@ async_io_to_std, AsyncIo, Std, $($test)*);
        $crate::with_every_stream!(@ async_io_to_async_io, AsyncIo, AsyncIo, $($test)*);
        $crate::with_every_stream!(@ async_net_to_async_net, AsyncNet, AsyncNet, $($test)*);
        $crate::with_every_stream!(@ async_net_to_tokio, AsyncNet, Tokio, $($test)*);
        $crate::with_every_stream!(@ tokio_to_std, Tokio, Std, $($test)*);
        $crate::with_every_stream!(@ tokio_to_async_net, Tokio, AsyncNet, $($test)*);
        $crate::with_every_stream!(@ tokio_to_tokio, Tokio, Tokio, $($test)*);
    };
    (@ $name:ident, $client:ident, $server:ident, $($test:ident)*) => {
        mod $name {
            use $crate::streams::{Kind, Streams};
            $(
                #[test]
                fn $test() {
                    $crate::bounded(|| {
                        super::$test(Streams { client: Kind::$client, server: Kind::$server });
                    });
                }
            )*
        }
    };
}
