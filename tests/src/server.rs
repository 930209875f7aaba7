use std::{
    net::SocketAddr,
    sync::{Mutex, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use ws_std::{CloseInfo, Error, HandlerResult, Request, Route, Server, ServerHandle, WebSocket};

use crate::PATIENCE;

/// A server on a free loopback port. It is stopped when dropped.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    handle: ServerHandle,
    serving: Option<JoinHandle<Result<(), Error>>>,
}

impl Running {
    /// Listens and serves.
    pub fn start(server: Server) -> Self {
        let listener = server.bind("127.0.0.1:0").expect("a port");
        let (address, handle) = (listener.local_addr().expect("an address"), listener.handle());
        let serving = thread::spawn(move || listener.serve());
        Self { address, handle, serving: Some(serving) }
    }

    /// Returns the address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    /// Returns the handle that stops the server.
    pub fn handle(&self) -> &ServerHandle {
        &self.handle
    }

    /// Waits until `serve` returns, which it does once the server is stopped.
    pub fn served(mut self) -> Result<(), Error> {
        self.serving.take().map_or(Ok(()), |serving| serving.join().expect("no panic in `serve`"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            self.handle.stop(Duration::from_secs(5));
            let _ = serving.join();
        }
    }
}

/// Connects clients that wait for the end of their connections. Returns one thread per client.
pub fn waiting_clients(url: &str, count: usize) -> Vec<JoinHandle<CloseInfo>> {
    let client = |_| {
        let mut ws = ws_std::connect(url).expect("a connection");
        thread::spawn(move || {
            assert!(ws.receive().expect("a normal end").is_none());
            ws.close_info().expect("an end")
        })
    };
    (0..count).map(client).collect()
}

/// Echoes each message, as a handler.
pub fn echo(_request: Request, mut ws: WebSocket) -> HandlerResult {
    while let Some(message) = ws.receive()? {
        ws.feed(message)?;
    }
    Ok(())
}

/// Receives until the end of the connection, as a handler.
pub fn drain(_request: Request, mut ws: WebSocket) -> HandlerResult {
    while ws.receive()?.is_some() {}
    Ok(())
}

/// A connection that its handler has handed to the test.
#[derive(Debug)]
pub struct Handed {
    /// The client's request.
    pub request: Request,
    /// The server's end of the connection.
    pub ws: WebSocket,
    /// The handler returns when this is dropped.
    pub handler: HandlerWaits,
}

/// Signals the waiting handler when it is dropped.
#[derive(Debug)]
pub struct HandlerWaits {
    _release: mpsc::Sender<()>,
}

/// Returns a route with a handler that hands its connections to the test, and the function that takes them.
pub fn hand_over() -> (Route, impl Fn() -> Handed) {
    let (hand, handed) = mpsc::channel();
    let hand = Mutex::new(hand);
    let route = Route::new(move |request, ws| {
        let (release, released) = mpsc::channel();
        hand.lock().expect("no panic").send(Handed {
            request,
            ws,
            handler: HandlerWaits { _release: release },
        })?;
        let _ = released.recv();
        Ok(())
    });
    (route, move || handed.recv_timeout(PATIENCE).expect("a connection"))
}
