//! Addresses of a host: the race between them, resolution, timeouts of each phase, and the end of a client that connects.

use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, mpsc},
    thread,
    time::Duration,
};

use socket2::{Domain, SockAddr, Socket, Type};
use ws_std::{CancelHandle, Error, TimeoutKind};
use ws_tests::{
    Folder, PATIENCE, RawListener, Transport, bounded,
    certificates::Authority,
    either::{Adapter, Client, Pairing, Route, Server, WebSocket},
    eventually, kernel, takes, with_both_adapters,
};

with_both_adapters! {
    a_first_address_that_swallows_packets_costs_the_delay_between_attempts
    a_first_address_that_refuses_costs_nothing
    an_error_lists_each_address_with_its_reason
    a_given_address_replaces_the_lookup_and_nothing_else
    a_resolver_of_the_application_is_asked_for_names_only
    a_resolver_that_fails_or_finds_nothing_is_an_error_with_the_host
    a_resolver_that_hangs_is_left_behind_after_each_of_its_timeouts
    each_phase_has_a_timeout_that_the_error_names
    the_total_timeout_includes_each_phase
}

/// Timeout that is waited for.
const SHORT: Duration = Duration::from_millis(150);
/// Timeout that is not reached.
const LONG: Duration = Duration::from_secs(300);

/// An address that accepts no connection, as long as the value lives: the queue of its listener is full.
struct Swallowing {
    address: SocketAddr,
    _sockets: Vec<Socket>,
}

impl Swallowing {
    fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&"127.0.0.2:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut sockets = vec![listener];
        for _ in 0..4 {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            sockets.push(socket);
        }
        Self { address, _sockets: sockets }
    }
}

/// Returns an address that refuses connections.
fn refusing() -> SocketAddr {
    RawListener::new().address()
}

fn expect_echo(mut ws: WebSocket) {
    ws.send("found").unwrap();
    assert_eq!(ws.receive().unwrap().unwrap(), "found");
}

fn a_first_address_that_swallows_packets_costs_the_delay_between_attempts(adapter: Adapter) {
    let swallowing = Swallowing::new();
    let server = Pairing::of(adapter, Transport::Plain).serve(Route::echo(adapter)).start();
    let client = || {
        let client = Client::new(adapter, "ws://host.test/").resolve("host.test", swallowing.address);
        client.resolve("host.test", server.address())
    };
    expect_echo(takes(Duration::from_millis(250), || client().connect().unwrap()));
    let delay = Duration::from_millis(30);
    let client = client().configure_connect(|config| config.attempt_delay = delay);
    expect_echo(takes(delay, || client.connect().unwrap()));
}

fn a_first_address_that_refuses_costs_nothing(adapter: Adapter) {
    let server = Pairing::of(adapter, Transport::Plain).serve(Route::echo(adapter)).start();
    let client =
        Client::new(adapter, "ws://host.test/").configure_connect(|config| config.attempt_delay = LONG);
    let client = client.resolve("host.test", refusing()).resolve("host.test", refusing());
    let client = client.resolve("host.test", server.address());
    expect_echo(takes(Duration::ZERO, || client.connect().unwrap()));
}

fn an_error_lists_each_address_with_its_reason(adapter: Adapter) {
    let (one, other) = (refusing(), refusing());
    let client =
        Client::new(adapter, "ws://host.test/").resolve("host.test", one).resolve("host.test", other);
    let local = "[::1]:0".parse().unwrap();
    match client.clone().connect() {
        Err(Error::Io(error)) => {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            let text = error.to_string();
            for address in [one, other] {
                assert!(text.contains(&format!("cannot connect to {address}: Connection refused")), "{text}");
            }
        }
        result => panic!("{result:?}"),
    }
    let text = client.local_address(local).connect().unwrap_err().to_string();
    assert!(text.matches("other family").count() == 2, "{text}");
}

fn a_given_address_replaces_the_lookup_and_nothing_else(adapter: Adapter) {
    let listener = RawListener::new();
    let address = listener.address();
    let client = |host: &str, given: SocketAddr| {
        Client::new(adapter, &format!("ws://{host}:{}/", address.port())).resolve("Host.Test.", given)
    };
    for (host, given) in [("host.test", address), ("HOST.test.", SocketAddr::new(address.ip(), 0))] {
        let client = client(host, given);
        let connecting = thread::spawn(move || client.connect().map(drop));
        let (_raw, head) = listener.open();
        let expected = format!("Host: {}:{}\r\n", host.to_lowercase(), address.port());
        assert!(head.contains(&expected), "{head}");
        connecting.join().unwrap().unwrap();
    }
    // The certificate has to be valid for the name, not for the address.
    let server = Pairing::of(adapter, Transport::Tls).serve(Route::echo(adapter)).start();
    let client = Client::new(adapter, "wss://host.test/").resolve("host.test", server.address());
    let error = client.tls(Authority::shared().trusted()).connect().unwrap_err();
    assert!(matches!(&error, Error::Tls(_)) && error.to_string().contains("host.test"), "{error}");
}

fn a_resolver_of_the_application_is_asked_for_names_only(adapter: Adapter) {
    let server = Pairing::of(adapter, Transport::Plain).serve(Route::echo(adapter)).start();
    let (address, (tell, asked)) = (server.address(), mpsc::channel());
    let tell = Mutex::new(tell);
    let client = |url: &str| Client::new(adapter, url);
    let resolver = move |host: &str, port| {
        tell.lock().unwrap().send((host.to_owned(), port)).unwrap();
        Ok(vec![refusing(), SocketAddr::new(address.ip(), 0), address])
    };
    expect_echo(client(&format!("ws://host.test:{}/", address.port())).resolver(resolver).connect().unwrap());
    assert_eq!(asked.recv().unwrap(), ("host.test".to_owned(), address.port()));
    let never = |_: &str, _| panic!("an address needs no lookup");
    expect_echo(client(&format!("ws://{}/", server.address())).resolver(never).connect().unwrap());
}

fn a_resolver_that_fails_or_finds_nothing_is_an_error_with_the_host(adapter: Adapter) {
    let client = || Client::new(adapter, "ws://host.test/");
    let panicking = |_: &str, _| panic!("on purpose");
    for client in [
        client().resolver(|_, _| Ok(Vec::new())),
        client().resolver(|_, _| Err(io::Error::other("no idea"))),
        client().resolver(panicking),
    ] {
        let error = client.connect().unwrap_err();
        assert!(matches!(error, Error::Io(_)) && error.to_string().contains("\"host.test\""), "{error}");
    }
}

/// Returns a client with a resolver that hangs until the sender is dropped.
fn hanging(adapter: Adapter) -> (Client, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let client = Client::new(adapter, "ws://host.test/").resolver(move |_, _| {
        let _ = released.lock().unwrap().recv();
        Ok(Vec::new())
    });
    (client, release)
}

fn a_resolver_that_hangs_is_left_behind_after_each_of_its_timeouts(adapter: Adapter) {
    let (client, _release) = hanging(adapter);
    let by_resolve = client.clone().configure_connect(|config| config.resolve_timeout = Some(SHORT));
    let by_connect = client.connect_timeout(SHORT).configure_connect(|config| config.resolve_timeout = None);
    for client in [by_resolve, by_connect] {
        let error = takes(SHORT, || client.connect().unwrap_err());
        assert!(matches!(error, Error::Timeout(TimeoutKind::Resolve)), "{error}");
        assert!(error.to_string().contains("resolve_timeout") && error.is_transient(), "{error}");
    }
}

/// Returns a client that hangs in TLS, because its server is silent.
fn silent_tls(adapter: Adapter, listener: &RawListener) -> Client {
    Client::new(adapter, &format!("wss://{}/", listener.address())).tls(Authority::shared().trusted())
}

/// Returns a client that hangs at a proxy.
fn silent_proxy(adapter: Adapter, listener: &RawListener) -> Client {
    Client::new(adapter, "ws://host.test/").proxy(&format!("http://{}", listener.address()))
}

fn each_phase_has_a_timeout_that_the_error_names(adapter: Adapter) {
    let (swallowing, silent) = (Swallowing::new(), RawListener::new());
    let swallowed = Client::new(adapter, &format!("ws://{}/", swallowing.address));
    for (client, kind, setting) in [
        (swallowed.connect_timeout(SHORT), TimeoutKind::Connect, "connect_timeout"),
        (
            silent_tls(adapter, &silent).configure_connect(|config| config.tls_timeout = Some(SHORT)),
            TimeoutKind::Tls,
            "tls_timeout",
        ),
        (
            silent_proxy(adapter, &silent).configure_connect(|config| config.proxy_timeout = Some(SHORT)),
            TimeoutKind::Proxy,
            "proxy_timeout",
        ),
    ] {
        match takes(SHORT, || client.connect()) {
            Err(error @ Error::Timeout(found)) => {
                assert!(found == kind && error.to_string().contains(setting), "{error}");
            }
            result => panic!("{setting}: {result:?}"),
        }
    }
}

fn the_total_timeout_includes_each_phase(adapter: Adapter) {
    let (swallowing, silent, full) = (Swallowing::new(), RawListener::new(), FullPath::new());
    let (hanging, _release) = hanging(adapter);
    let swallowed = Client::new(adapter, &format!("ws://{}/", swallowing.address));
    let unanswered = Client::new(adapter, &silent.url("/"));
    let total = |client: Client| client.configure_connect(|config| config.total_timeout = Some(SHORT));
    let expect_total = |result: Result<WebSocket, Error>| match result {
        Err(Error::Timeout(TimeoutKind::Total)) => {}
        result => panic!("{result:?}"),
    };
    for client in
        [hanging, swallowed.clone(), silent_tls(adapter, &silent), silent_proxy(adapter, &silent), unanswered]
    {
        expect_total(takes(SHORT, || total(client).connect()));
    }
    expect_total(takes(SHORT, || total(swallowed).connect_unix(full.folder.file("socket"))));
}

/// A Unix-domain socket with a full queue.
struct FullPath {
    folder: Folder,
    _sockets: [Socket; 2],
}

impl FullPath {
    fn new() -> Self {
        let folder = Folder::new();
        let sockets = [(); 2].map(|()| Socket::new(Domain::UNIX, Type::STREAM, None).unwrap());
        let address = SockAddr::unix(folder.file("socket")).unwrap();
        sockets[0].bind(&address).unwrap();
        sockets[0].listen(0).unwrap();
        sockets[1].connect(&address).unwrap();
        Self { folder, _sockets: sockets }
    }
}

/// A place at which a client hangs while it connects.
#[derive(Clone, Copy, Debug)]
enum Place {
    Lookup,
    Address,
    Path,
    Proxy,
    Tls,
    Response,
}

const PLACES: [Place; 6] =
    [Place::Lookup, Place::Address, Place::Path, Place::Proxy, Place::Tls, Place::Response];

/// Returns a client that hangs at this place.
fn hanging_at(adapter: Adapter, place: Place, silent: &RawListener, swallowing: &Swallowing) -> Client {
    match place {
        Place::Lookup => hanging(adapter).0.resolver(|_, _| {
            // Nothing ends it within the test.
            let (_send, receive) = mpsc::channel::<()>();
            let _ = receive.recv_timeout(PATIENCE);
            Ok(Vec::new())
        }),
        Place::Address => Client::new(adapter, &format!("ws://{}/", swallowing.address)),
        Place::Proxy => silent_proxy(adapter, silent),
        Place::Tls => silent_tls(adapter, silent),
        Place::Response | Place::Path => Client::new(adapter, &silent.url("/")),
    }
}

#[test]
fn another_thread_cancels_a_client_that_connects() {
    bounded(|| {
        let (silent, swallowing, full) = (RawListener::new(), Swallowing::new(), FullPath::new());
        for place in PLACES {
            let Client::Std(client) = hanging_at(Adapter::Std, place, &silent, &swallowing) else { panic!() };
            let cancel = CancelHandle::new().unwrap();
            let client = client.cancel_with(&cancel).connect_timeout(LONG);
            let path = full.folder.file("socket");
            let connect = move || match place {
                Place::Path => client.connect_unix(path),
                _ => client.connect(),
            };
            let connecting = thread::spawn(connect.clone());
            // It hangs, or is about to.
            thread::yield_now();
            assert!(!cancel.is_cancelled());
            let error = takes(Duration::ZERO, || {
                cancel.cancel();
                connecting.join().unwrap().unwrap_err()
            });
            assert!(matches!(error, Error::Cancelled) && !error.is_transient(), "{place:?}: {error}");
            assert!(cancel.is_cancelled());
            // Later calls end too.
            assert!(matches!(connect(), Err(Error::Cancelled)), "{place:?}");
        }
    });
}

#[test]
fn a_cancelled_handle_does_not_end_an_open_connection() {
    bounded(|| {
        let server = Server::new(Adapter::Std).mount("/", Route::echo(Adapter::Std)).start();
        let cancel = CancelHandle::new().unwrap();
        let client = ws_std::Client::new(&format!("ws://{}/", server.address())).cancel_with(&cancel);
        let ws = client.connect().unwrap();
        cancel.cancel();
        expect_echo(WebSocket::Std(ws));
    });
}

#[test]
fn dropping_the_future_of_a_client_that_connects_leaves_nothing() {
    bounded(|| {
        let (silent, swallowing, full) = (RawListener::new(), Swallowing::new(), FullPath::new());
        let path = full.folder.file("socket");
        for round in 0..3 {
            let before = kernel::file_descriptors();
            for place in PLACES {
                let Client::Smol(client) = hanging_at(Adapter::Smol, place, &silent, &swallowing) else {
                    panic!()
                };
                let client = client.connect_timeout(LONG);
                let connecting = async {
                    let result = match place {
                        Place::Path => client.connect_unix(&path).await.map(drop),
                        _ => client.connect().await.map(drop),
                    };
                    Some(result)
                };
                let dropped = smol::future::or(connecting, async {
                    smol::Timer::after(Duration::from_millis(20)).await;
                    None
                });
                assert!(smol::block_on(dropped).is_none(), "{place:?} does not hang");
            }
            // In the first round, the reactor and the threads for lookups are started.
            if round > 0 {
                eventually("all sockets are closed", || kernel::file_descriptors() <= before);
            }
        }
    });
}
