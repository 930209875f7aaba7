//! Streams of the application.

use std::os::unix::net::UnixStream;

use smol::Async;
use ws_std::Error;

use super::{Client, Handle, Server, WebSocket};

/// A server of either adapter without a listening socket.
#[derive(Clone, Debug)]
pub enum StreamServer {
    /// The variant of `ws-std`.
    Std(ws_std::StreamServer),
    /// The variant of `ws-smol`.
    Smol(ws_smol::StreamServer),
}

impl Server {
    /// Same as `Server::for_streams`.
    pub fn for_streams(self) -> Result<StreamServer, Error> {
        match self {
            Self::Std(server) => server.for_streams().map(StreamServer::Std),
            Self::Smol(server) => server.for_streams().map(StreamServer::Smol),
        }
    }
}

impl StreamServer {
    /// Serves a client until its connection has ended.
    pub fn serve(&self, stream: UnixStream) {
        match self {
            Self::Std(server) => server.serve(stream).expect("a socket"),
            Self::Smol(server) => smol::block_on(server.serve(Async::new(stream).expect("a socket"))),
        }
    }

    /// Same as `StreamServer::handle`.
    pub fn handle(&self) -> Handle {
        match self {
            Self::Std(server) => Handle::Std(server.handle()),
            Self::Smol(server) => Handle::Smol(server.handle()),
        }
    }
}

impl Client {
    /// Same as `Client::connect_over`.
    pub fn connect_over(self, stream: UnixStream) -> Result<WebSocket, Error> {
        match self {
            Self::Std(client) => client.connect_over(stream).map(WebSocket::Std),
            Self::Smol(client) => smol::block_on(client.connect_over(Async::new(stream).expect("a socket")))
                .map(WebSocket::Smol),
        }
    }
}
