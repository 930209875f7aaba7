//! Resolution of names to addresses.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// A function of the application that resolves a name and a port. It may block.
type Resolver = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// The source of addresses: given ones, a function of the application, or the operating system.
#[derive(Clone, Default)]
pub(super) struct Names {
    given: Vec<(String, SocketAddr)>,
    resolver: Option<Resolver>,
}

impl Names {
    /// Adds an address of a host.
    pub(super) fn add(&mut self, host: &str, address: SocketAddr) {
        self.given.push((normalized(host), address));
    }

    pub(super) fn set_resolver(
        &mut self,
        resolver: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) {
        self.resolver = Some(Arc::new(resolver));
    }

    /// Returns the addresses that are known without a lookup, or else the lookup.
    pub(super) fn find(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Lookup> {
        let name = normalized(host);
        let given = self.given.iter().filter(|(given, _)| *given == name);
        let given: Vec<_> = given.map(|(_, address)| with_port(*address, port)).collect();
        if !given.is_empty() {
            return Ok(given);
        }
        match host.parse::<IpAddr>() {
            Ok(address) => Ok(vec![SocketAddr::new(address, port)]),
            Err(_) => Err(Lookup { host: host.to_owned(), port, resolver: self.resolver.clone() }),
        }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names")
            .field("given", &self.given)
            .field("resolver", &self.resolver.is_some())
            .finish()
    }
}

/// A name that has to be resolved.
pub struct Lookup {
    host: String,
    port: u16,
    resolver: Option<Resolver>,
}

impl Lookup {
    /// Resolves the name. It blocks for as long as the operating system or the application's function takes, so call it in a
    /// thread that no deadline depends on.
    ///
    /// # Errors
    ///
    /// Returns an error if the name cannot be resolved, or one of the kind `ResourceBusy` if 64 lookups of this process are
    /// running, which probably hang.
    pub fn run(self) -> io::Result<Vec<SocketAddr>> {
        let _counted = Counted::new()?;
        match self.resolver {
            Some(resolver) => {
                let addresses = resolver(&self.host, self.port)?;
                Ok(addresses.into_iter().map(|address| with_port(address, self.port)).collect())
            }
            None => (&*self.host, self.port).to_socket_addrs().map(Iterator::collect),
        }
    }

    /// [Runs](Self::run) in a thread of its own, because the operating system offers no lookup with a timeout. If the result is
    /// not wanted any more, the thread is left behind.
    ///
    /// # Errors
    ///
    /// Returns an error if no thread can be started.
    pub fn start(self) -> io::Result<RunningLookup> {
        let (done, is_done) = UnixStream::pair()?;
        let (send, result) = mpsc::channel();
        thread::Builder::new().name("ws-resolve".into()).spawn(move || {
            // The receiver may have given up.
            let _ = send.send(self.run());
            // A panic of the application's resolver drops it too.
            drop(done);
        })?;
        Ok(RunningLookup { is_done, result })
    }
}

/// A lookup in a thread of its own. Its file descriptor becomes readable when it has a result.
#[derive(Debug)]
pub struct RunningLookup {
    is_done: UnixStream,
    result: mpsc::Receiver<io::Result<Vec<SocketAddr>>>,
}

impl RunningLookup {
    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// Returns an error if the name cannot be resolved.
    pub fn finish(self) -> io::Result<Vec<SocketAddr>> {
        let panicked = || Err(io::Error::other("the resolver of this application has panicked"));
        self.result.recv().unwrap_or_else(|_| panicked())
    }
}

impl AsFd for RunningLookup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.is_done.as_fd()
    }
}

/// One of the running lookups of this process. Those that are left behind count too.
struct Counted;

static RUNNING: AtomicUsize = AtomicUsize::new(0);

impl Counted {
    const MAX: usize = 64;

    fn new() -> io::Result<Self> {
        if RUNNING.fetch_add(1, Ordering::Relaxed) >= Self::MAX {
            RUNNING.fetch_sub(1, Ordering::Relaxed);
            let text = "too many lookups of host names are running or hang: the name server does not answer";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
        }
        Ok(Self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Returns the address, with this port if it has none of its own.
fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    if address.port() == 0 {
        address.set_port(port);
    }
    address
}

fn normalized(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}
