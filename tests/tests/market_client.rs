//! The programs `market_client` and `smol_market_client` with a server that restarts.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use ws_std::{
    CloseCode, Error, HandlerResult, Listener, Route, Server, ServerHandle, TimeoutKind, WebSocket,
};
use ws_tests::{
    Folder, ForeignProxy, PATIENCE, Process, RawListener,
    certificates::{Authority, Identity},
    let_pass, programs_of,
};

static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| programs_of(&["ws-market-data"]));

/// Creates a test for each program.
macro_rules! with_both_programs {
    ($($test:ident)*) => {
        with_both_programs!(@ with_std, "market_client", $($test)*);
        with_both_programs!(@ with_smol, "smol_market_client", $($test)*);
    };
    (@ $module:ident, $program:literal, $($test:ident)*) => {
        mod $module {
            $(
                #[test]
                fn $test() {
                    // The programs are built before the clock starts.
                    std::sync::LazyLock::force(&super::PROGRAMS);
                    ws_tests::bounded(|| super::$test($program));
                }
            )*
        }
    };
}

with_both_programs! {
    no_number_is_missed_behind_a_proxy_over_tls_while_the_server_restarts
    an_interrupted_client_closes_with_1000
    a_client_can_be_interrupted_while_it_waits
    a_server_that_cannot_be_trusted_is_an_error
}

/// Time between two numbers.
const PACE: Duration = Duration::from_millis(2);

/// The numbers that are published, over all restarts of the server.
struct Feed {
    began: Instant,
    /// The last number that a client has confirmed at the begin of a connection.
    resumed: AtomicU64,
    ends: Mutex<mpsc::Sender<CloseCode>>,
}

impl Feed {
    fn published(&self) -> u64 {
        (self.began.elapsed().as_micros() / PACE.as_micros()) as u64
    }

    /// Serves one client.
    fn serve(&self, mut ws: WebSocket) -> HandlerResult {
        let request = ws.receive()?.ok_or("a request")?;
        let number = request.as_text().and_then(|text| text.strip_prefix(r#"{"resume":"#)?.strip_suffix('}'));
        let mut sent: u64 = number.ok_or("a number")?.parse()?;
        self.resumed.store(sent, Relaxed);
        ws.set_read_timeout(Some(PACE));
        loop {
            while sent < self.published() {
                sent += 1;
                ws.feed(format!(r#"{{"seq": {sent}}}"#))?;
            }
            ws.flush()?;
            match ws.receive() {
                Err(Error::Timeout(TimeoutKind::Read)) => {}
                Ok(None) => {
                    let code = ws.close_info().ok_or("an end")?.code;
                    return Ok(self.ends.lock().map_err(|_| "a panic")?.send(code)?);
                }
                other => return other.map(drop).map_err(Into::into),
            }
        }
    }
}

/// A server of the feed that can be restarted on its port.
struct Market {
    feed: Arc<Feed>,
    identity: Option<Identity>,
    address: SocketAddr,
    running: Option<(ServerHandle, thread::JoinHandle<Result<(), Error>>)>,
}

impl Market {
    /// Starts a server. Returns also the codes of the Closes that clients have sent.
    fn start(identity: Option<Identity>) -> (Self, mpsc::Receiver<CloseCode>) {
        let (tell, ends) = mpsc::channel();
        let feed = Feed { began: Instant::now(), resumed: AtomicU64::new(0), ends: Mutex::new(tell) };
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut market = Self { feed: Arc::new(feed), identity, address, running: None };
        market.up();
        (market, ends)
    }

    fn up(&mut self) {
        let feed = self.feed.clone();
        let mut server = Server::new().mount("/", Route::new(move |_, ws| feed.serve(ws)));
        if let Some(identity) = &self.identity {
            server = server.tls(identity.serving());
        }
        let listener: Listener = server.bind(self.address).expect("the port");
        self.address = listener.local_addr().expect("an address");
        self.running = Some((listener.handle(), thread::spawn(move || listener.serve())));
    }

    /// Stops the server: its clients receive 1001, or their connections are reset if it may take no time.
    fn down(&mut self, timeout: Duration) {
        if let Some((handle, serving)) = self.running.take() {
            handle.stop(timeout);
            serving.join().expect("no panic").expect("no error");
        }
    }
}

impl Drop for Market {
    fn drop(&mut self) {
        self.down(PATIENCE);
    }
}

fn start(program: &str, arguments: &[&str]) -> Process {
    Process::start(Command::new(PROGRAMS.join(program)).args(arguments))
}

/// Receives numbers without gaps from this one up to `last`.
fn expect_numbers(client: &mut Process, from: u64, last: u64) {
    for number in from..=last {
        assert_eq!(client.line(), format!("seq {number}"));
    }
}

fn interrupt(client: Process) -> Vec<String> {
    client.signal(Signal::INT);
    let (status, lines, complaints) = client.finish();
    assert_eq!((status.code(), complaints), (Some(0), vec![]));
    lines
}

fn no_number_is_missed_behind_a_proxy_over_tls_while_the_server_restarts(program: &str) {
    let folder = Folder::new();
    folder.write("ca.pem", Authority::shared().pem());
    let ca = folder.file("ca.pem").to_str().unwrap().to_owned();
    let proxy = ForeignProxy::start("pproxy-http", None, None);
    let (mut market, ends) = Market::start(Some(Authority::shared().server()));
    let url = format!("wss://localhost:{}/", market.address.port());
    let proxy_url = format!("http://{}", proxy.address());
    let mut client = start(program, &[&url, "--ca", &ca, "--proxy", &proxy_url]);
    let mut seen = 0;
    for restart in 0..5 {
        let last = market.feed.published() + 20;
        expect_numbers(&mut client, seen + 1, last);
        seen = last;
        market.down(if restart % 2 == 0 { Duration::ZERO } else { PATIENCE });
        // The server is away while the client tries to connect.
        let_pass(Duration::from_millis(50 * restart));
        market.up();
    }
    let last = market.feed.published() + 20;
    expect_numbers(&mut client, seen + 1, last);
    assert!(market.feed.resumed.load(Relaxed) >= seen, "the last connection has begun anew");
    let lines = interrupt(client);
    for (line, number) in lines.iter().zip(last + 1..) {
        assert_eq!(*line, format!("seq {number}"));
    }
    // The connections of a server that goes away end with 1001.
    while ends.recv_timeout(PATIENCE) != Ok(CloseCode::NORMAL_CLOSURE) {}
}

fn an_interrupted_client_closes_with_1000(program: &str) {
    let (market, ends) = Market::start(None);
    let url = format!("ws://market.test:{}/", market.address.port());
    let mut client = start(program, &[&url, "--resolve", "market.test=127.0.0.1"]);
    expect_numbers(&mut client, 1, 10);
    interrupt(client);
    assert_eq!(ends.recv_timeout(PATIENCE), Ok(CloseCode::NORMAL_CLOSURE));
}

fn a_client_can_be_interrupted_while_it_waits(program: &str) {
    let listener = RawListener::new();
    let client = start(program, &[&listener.url("/")]);
    let mut raw = listener.accept();
    raw.head();
    raw.write("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1000\r\nContent-Length: 0\r\n\r\n");
    raw.rest().unwrap();
    assert_eq!(interrupt(client), Vec::<String>::new());
}

fn a_server_that_cannot_be_trusted_is_an_error(program: &str) {
    let (market, _ends) = Market::start(Some(Authority::shared().server()));
    let client = start(program, &[&format!("wss://localhost:{}/", market.address.port())]);
    let (status, lines, complaints) = client.finish();
    assert_eq!((status.code(), lines.len(), complaints.len()), (Some(1), 0, 1), "{complaints:?}");
    assert!(complaints[0].starts_with(&format!("{program}: ")), "{complaints:?}");
}
