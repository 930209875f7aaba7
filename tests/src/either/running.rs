use std::{
    net::SocketAddr,
    thread::{self, JoinHandle},
    time::Duration,
};

use ws_std::Error;

/// The handle of a server of either adapter.
#[derive(Clone, Debug)]
pub enum Handle {
    /// The variant of `ws-std`.
    Std(ws_std::ServerHandle),
    /// The variant of `ws-smol`.
    Smol(ws_smol::ServerHandle),
}

impl Handle {
    /// Same as `Handle::stop`.
    pub fn stop(&self, timeout: Duration) -> bool {
        either!(self, handle => handle.stop(timeout), async handle.stop(timeout))
    }

    /// Same as `Handle::begin_stop`.
    pub fn begin_stop(&self, timeout: Duration) {
        either!(self, handle => handle.begin_stop(timeout));
    }

    /// Same as `Handle::connections`.
    pub fn connections(&self) -> usize {
        either!(self, handle => handle.connections())
    }
}

/// A running server of either adapter. It is stopped when dropped.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    max_connections: usize,
    handle: Handle,
    serving: Option<JoinHandle<Result<(), Error>>>,
}

impl From<ws_std::Listener> for Running {
    fn from(listener: ws_std::Listener) -> Self {
        let (addresses, max_connections) = (listener.local_addrs().to_vec(), listener.max_connections());
        assert_eq!(listener.local_addr().ok(), addresses.first().copied());
        let handle = Handle::Std(listener.handle());
        let serving = Some(thread::spawn(move || listener.serve()));
        Self { addresses, max_connections, handle, serving }
    }
}

impl From<ws_smol::Listener> for Running {
    fn from(listener: ws_smol::Listener) -> Self {
        let (addresses, max_connections) = (listener.local_addrs().to_vec(), listener.max_connections());
        assert_eq!(listener.local_addr().ok(), addresses.first().copied());
        let handle = Handle::Smol(listener.handle());
        let serving = Some(thread::spawn(move || smol::block_on(listener.serve())));
        Self { addresses, max_connections, handle, serving }
    }
}

impl Running {
    /// Returns the address of the server.
    pub fn address(&self) -> SocketAddr {
        *self.addresses.first().expect("an address and no path")
    }

    /// Same as `Listener::local_addrs`.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Same as `Listener::max_connections`.
    pub fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// Returns the handle that stops the server.
    pub fn handle(&self) -> &Handle {
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
