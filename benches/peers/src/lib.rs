//! Shared parts of the servers: options, common settings, and the loops over connections and messages.
//!
//! Each server runs on one thread, because a benchmark assigns it one processor. A blocking server has a thread for
//! each connection. Nagle's algorithm and compression are off, and a message may have up to [`LIMIT`] bytes.

use std::{
    collections::HashMap,
    io,
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _, future::poll_immediate};
use tokio::sync::mpsc;

/// Maximum size of messages and frames in bytes.
pub const LIMIT: usize = 64 << 20;

/// Any error. Every error ends the connection.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The command-line options.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen on.
    pub listen: String,
    /// `true` to queue replies while more messages are available, and then write them together.
    pub feed: bool,
    /// `true` to send every message to every client.
    pub broadcast: bool,
    /// Size of one message in bytes, for the raw server.
    pub unit: usize,
}

impl Options {
    /// Parses the command line. Only these options are permitted beside `--listen`.
    ///
    /// # Errors
    ///
    /// Returns an error for any other option.
    pub fn parse(allowed: &[&str]) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = Self { listen: "127.0.0.1:0".into(), feed: false, broadcast: false, unit: 0 };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("listen") => options.listen = parser.value()?.string()?,
                Long("feed") if allowed.contains(&"feed") => options.feed = true,
                Long("broadcast") if allowed.contains(&"broadcast") => options.broadcast = true,
                Long("unit") if allowed.contains(&"unit") => options.unit = parser.value()?.parse()?,
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }

    /// Listens and prints the address.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is unavailable.
    pub fn bind(&self, scheme: &str) -> io::Result<TcpListener> {
        let listener = TcpListener::bind(&self.listen)?;
        // A larger backlog than the default of 128, for thousands of simultaneous connections.
        rustix::net::listen(&listener, 4096)?;
        println!("listening on {scheme}://{}/", listener.local_addr()?);
        Ok(listener)
    }
}

/// Serves each connection in a thread of its own.
///
/// # Errors
///
/// Returns an error if the address is unavailable.
pub fn on_threads<E>(
    options: &Options,
    scheme: &str,
    serve: impl Fn(TcpStream) -> Result<(), E> + Clone + Send + 'static,
) -> io::Result<()> {
    for stream in options.bind(scheme)?.incoming().flatten() {
        stream.set_nodelay(true)?;
        let serve = serve.clone();
        thread::spawn(move || serve(stream).ok());
    }
    Ok(())
}

/// Serves each connection in a task of smol, all on this thread.
///
/// # Errors
///
/// Returns an error if the address is unavailable.
pub fn on_smol<E>(
    options: &Options,
    scheme: &str,
    serve: impl AsyncFn(smol::net::TcpStream) -> Result<(), E> + Clone + 'static,
) -> io::Result<()> {
    let executor = smol::LocalExecutor::new();
    let listener = smol::Async::new(options.bind(scheme)?)?;
    smol::block_on(executor.run(async {
        let listener = smol::net::TcpListener::from(listener);
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            stream.set_nodelay(true)?;
            let serve = serve.clone();
            executor.spawn(async move { serve(stream).await.ok() }).detach();
        }
    }))
}

/// Serves each connection in a task of tokio, all on this thread.
///
/// # Errors
///
/// Returns an error if the address is unavailable.
pub fn on_tokio<F>(options: &Options, serve: impl Fn(tokio::net::TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = options.bind("ws")?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            stream.set_nodelay(true)?;
            tokio::spawn(serve(stream));
        }
    })
}

/// Echoes text and binary messages, which `is_data` selects, for libraries whose connection is a stream and a sink.
///
/// Without `feed` each echo is flushed before the next message is read, as in the examples of the libraries. With it,
/// echoes are flushed only when no further message is available.
///
/// # Errors
///
/// Returns the error if the connection fails.
pub async fn echo<W, M, E>(mut ws: W, feed: bool, is_data: impl Fn(&M) -> bool) -> Result<(), Error>
where
    W: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    E: Into<Error>,
{
    loop {
        let ready = if feed { poll_immediate(ws.next()).await } else { None };
        if feed && ready.is_none() {
            ws.flush().await.map_err(Into::into)?;
        }
        let next = match ready {
            Some(next) => next,
            None => ws.next().await,
        };
        let Some(message) = next else { return Ok(()) };
        let message = message.map_err(Into::into)?;
        if !is_data(&message) {
            continue;
        }
        if feed {
            ws.feed(message).await.map_err(Into::into)?;
        } else {
            ws.send(message).await.map_err(Into::into)?;
        }
    }
}

/// The clients of a broadcasting server, with a queue for each, as in the usual chat examples.
#[derive(Debug)]
pub struct Clients<M> {
    queues: Arc<Mutex<HashMap<usize, mpsc::UnboundedSender<M>>>>,
    joined: Arc<AtomicUsize>,
}

impl<M> Clone for Clients<M> {
    fn clone(&self) -> Self {
        Self { queues: self.queues.clone(), joined: self.joined.clone() }
    }
}

impl<M> Default for Clients<M> {
    fn default() -> Self {
        Self { queues: Arc::default(), joined: Arc::default() }
    }
}

impl<M: Clone> Clients<M> {
    /// Adds a client. Returns its key, for removing it, and its queue.
    pub fn join(&self) -> (usize, mpsc::UnboundedReceiver<M>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let key = self.joined.fetch_add(1, Ordering::Relaxed);
        self.queues.lock().expect("nothing panics under the lock").insert(key, sender);
        (key, receiver)
    }

    /// Queues a message for one client.
    pub fn send(&self, key: usize, message: M) {
        if let Some(queue) = self.queues.lock().expect("nothing panics under the lock").get(&key) {
            // Fails if the client is about to leave.
            let _ = queue.send(message);
        }
    }

    /// Queues a clone of the message for every client.
    pub fn broadcast(&self, message: &M) {
        for queue in self.queues.lock().expect("nothing panics under the lock").values() {
            let _ = queue.send(message.clone());
        }
    }

    /// Removes a client and closes its queue.
    pub fn leave(&self, key: usize) {
        self.queues.lock().expect("nothing panics under the lock").remove(&key);
    }
}
