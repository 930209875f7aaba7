//! Admission of clients by the servers of both adapters: limits, the check of the application, and clients that take no
//! place any more.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::{Resource, getrlimit};
use socket2::{Domain, Socket, Type};
use ws_std::{
    AdmissionDecision, AdmissionLimits, AdmissionStats, CloseCode, Error, RefusalReason, Response,
    ServerMetrics,
};
use ws_tests::{
    Folder, PATIENCE, Raw, Reply, Transport,
    certificates::Authority,
    either::{Adapter, Client, Pairing, Route, Running, Server},
    eventually,
    wire::{self, Frame},
    with_both_adapters,
};

with_both_adapters! {
    connections_of_an_address_are_limited_and_others_are_served
    opening_handshakes_in_progress_are_limited
    handshakes_per_second_are_limited_for_each_address
    clients_of_a_unix_domain_socket_have_no_limits_per_address
    a_silent_handshake_holds_its_place_for_the_open_timeout_only
    a_silent_tls_handshake_holds_its_place_for_the_open_timeout_only
    a_client_that_lingers_after_a_close_takes_no_place
    a_client_that_lingers_after_a_page_takes_no_place
    every_refused_client_is_answered
    the_admission_check_decides_before_the_client_sends_a_byte
    a_client_whose_admission_check_panics_is_answered_with_500
    refused_clients_of_a_tls_server_are_closed_before_tls
    impossible_limits_are_refused_at_bind
    more_connections_than_descriptors_are_refused_at_bind
    all_addresses_of_a_name_are_listened_on_with_one_port
    a_port_that_is_in_use_on_one_of_the_addresses_is_refused
}

/// An upper bound far below the close timeout of five seconds.
const SOON: Duration = Duration::from_secs(3);

const OPEN_TIMEOUT: Duration = Duration::from_millis(500);

fn echo(adapter: Adapter) -> Server {
    Server::new(adapter).mount("/", Route::echo(adapter))
}

fn start(server: Server) -> (Running, ServerMetrics) {
    let monitor = server.monitor();
    (server.start(), monitor)
}

fn connect_from(local: &str, server: SocketAddr) -> Raw {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let local: SocketAddr = format!("{local}:0").parse().unwrap();
    socket.bind(&local.into()).unwrap();
    socket.connect(&server.into()).unwrap();
    Raw::from(TcpStream::from(socket))
}

/// Sends a request for a WebSocket and returns the head of the response.
fn request(raw: &mut Raw) -> String {
    raw.write(wire::request("/", &[]));
    raw.head()
}

fn expect_open(mut raw: Raw) -> Raw {
    let head = request(&mut raw);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    raw
}

fn expect_refused(mut raw: Raw) -> Reply {
    let reply = raw.reply();
    assert_eq!(reply.status, 503, "{}", reply.head);
    assert!(wire::header(&reply.head, "Retry-After").is_some(), "{}", reply.head);
    reply
}

/// Waits until the server opens a WebSocket for a new client.
fn eventually_open(server: &Running) {
    eventually("a client is served", || {
        let raw = Raw::connect(server.address());
        raw.try_write(wire::request("/", &[])).is_ok() && { raw }
            .try_head()
            .is_ok_and(|head| head.starts_with("HTTP/1.1 101 "))
    });
}

fn connections_of_an_address_are_limited_and_others_are_served(adapter: Adapter) {
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let told = reasons.clone();
    let server =
        echo(adapter).admission_limits(|limits| limits.max_connections_per_address = Some(2)).on_error(
            move |error| told.lock().unwrap().extend(error.error.downcast_ref::<RefusalReason>().copied()),
        );
    let (server, monitor) = start(server);
    let one = expect_open(connect_from("127.0.0.1", server.address()));
    // A client counts before it sends a byte.
    let two = connect_from("127.0.0.1", server.address());
    expect_refused(connect_from("127.0.0.1", server.address()));
    let _other = expect_open(connect_from("127.0.0.2", server.address()));
    let admission = monitor.stats().admission;
    assert_eq!((admission.too_many_from_address, monitor.stats().refused), (1, 1));
    assert_eq!(*reasons.lock().unwrap(), [RefusalReason::TooManyFromAddress]);
    drop(one);
    eventually_open(&server);
    drop(two);
}

fn opening_handshakes_in_progress_are_limited(adapter: Adapter) {
    let server = echo(adapter).admission_limits(|limits| limits.max_handshakes = Some(2));
    let (server, monitor) = start(server);
    let open = [(); 5].map(|()| Raw::open(server.address(), "/"));
    let silent = [(); 2].map(|()| Raw::connect(server.address()));
    expect_refused(Raw::connect(server.address()));
    let AdmissionStats { handshakes, too_many_handshakes, .. } = monitor.stats().admission;
    assert_eq!((handshakes, too_many_handshakes), (2, 1));
    let [first, second] = silent;
    expect_open(first);
    expect_open(Raw::connect(server.address()));
    drop((second, open));
}

fn handshakes_per_second_are_limited_for_each_address(adapter: Adapter) {
    // One handshake per second, so that the test does not depend on the speed of the machine.
    let server = echo(adapter).admission_limits(|limits| limits.max_handshake_rate_per_address = Some(1));
    let (server, monitor) = start(server);
    let began = Instant::now();
    drop(expect_open(connect_from("127.0.0.1", server.address())));
    let reply = loop {
        let mut raw = connect_from("127.0.0.1", server.address());
        // On a slow machine, a second may have passed.
        if began.elapsed() < Duration::from_millis(900) {
            break raw.reply();
        }
        drop(expect_open(raw));
    };
    assert_eq!((reply.status, wire::header(&reply.head, "Retry-After")), (503, Some("1")));
    drop(expect_open(connect_from("127.0.0.2", server.address())));
    assert!(monitor.stats().admission.handshake_rate > 0);
    eventually_open(&server);
    assert!(began.elapsed() >= Duration::from_millis(990), "{:?}", began.elapsed());
}

fn clients_of_a_unix_domain_socket_have_no_limits_per_address(adapter: Adapter) {
    let folder = Folder::new();
    let server = echo(adapter)
        .admission_limits(|limits| {
            limits.max_connections_per_address = Some(1);
            limits.max_handshake_rate_per_address = Some(1);
        })
        .admission_check(|client| {
            assert!(client.peer_addr.is_none() && client.from_address == 0);
            AdmissionDecision::Admit
        });
    let _server = server.bind_unix(&folder.file("socket")).unwrap();
    let connect = || Client::new(adapter, "ws://localhost/").connect_unix(folder.file("socket"));
    let _clients = [(); 4].map(|()| connect().unwrap());
}

fn a_silent_handshake_holds_its_place_for_the_open_timeout_only(adapter: Adapter) {
    let server = echo(adapter)
        .max_connections(1)
        .configure_handshake(|limits| limits.open_timeout = Some(OPEN_TIMEOUT));
    let (server, monitor) = start(server);
    let began = Instant::now();
    // It neither sends a request nor closes.
    let _silent = Raw::connect(server.address());
    expect_refused(Raw::connect(server.address()));
    eventually_open(&server);
    let took = began.elapsed();
    assert!(took + Duration::from_millis(10) >= OPEN_TIMEOUT && took < SOON, "{took:?}");
    assert_eq!(monitor.stats().admission.handshakes, 0);
}

fn a_silent_tls_handshake_holds_its_place_for_the_open_timeout_only(adapter: Adapter) {
    let pairing = Pairing::of(adapter, Transport::Tls);
    let server = pairing.serve(Route::echo(adapter)).max_connections(1);
    let server = server
        .configure_handshake(|limits| limits.open_timeout = Some(OPEN_TIMEOUT))
        .configure(|config| config.close_timeout = PATIENCE);
    let (server, monitor) = start(server);
    let began = Instant::now();
    let _silent = Raw::connect(server.address());
    eventually("it is admitted", || monitor.stats().admission.handshakes == 1);
    let mut served = None;
    eventually("a client is served", || {
        served = pairing.client(&server, "/").connect().ok();
        served.is_some()
    });
    let took = began.elapsed();
    assert!(took + Duration::from_millis(10) >= OPEN_TIMEOUT && took < PATIENCE / 2, "{took:?}");
    served.unwrap().close(CloseCode::NORMAL_CLOSURE, "").unwrap();
}

fn a_client_that_lingers_after_a_close_takes_no_place(adapter: Adapter) {
    let (server, monitor) = start(echo(adapter).max_connections(1));
    let mut lingering = Raw::open(server.address(), "/");
    lingering.send(Frame::close(1000, ""));
    assert_eq!(lingering.frame().code_and_reason().0, 1000);
    // The server has closed its side, and this client has not.
    assert_eq!(lingering.next_frame(), None);
    let began = Instant::now();
    eventually_open(&server);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    eventually("it is counted apart", || monitor.stats().admission.lingering == 1);
    drop(lingering);
    eventually("nothing is left", || {
        monitor.stats().connections == 0 && monitor.stats().admission.lingering == 0
    });
}

fn a_client_that_lingers_after_a_page_takes_no_place(adapter: Adapter) {
    let server = echo(adapter).page("/page", |_| Response::new(200).text("hello")).max_connections(1);
    let (server, _) = start(server);
    let mut lingering = Raw::connect(server.address());
    lingering.write("GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(lingering.reply().status, 200);
    let began = Instant::now();
    eventually_open(&server);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

fn every_refused_client_is_answered(adapter: Adapter) {
    const CLIENTS: usize = 200;
    let (server, monitor) = start(echo(adapter).max_connections(0));
    // More than the server waits for at a time.
    let refused: Vec<_> = (0..CLIENTS).map(|_| Raw::connect(server.address())).collect();
    eventually("all are refused", || monitor.stats().admission.too_many_connections == CLIENTS as u64);
    assert!(monitor.stats().admission.lingering <= 64);
    for raw in refused {
        expect_refused(raw);
    }
}

fn the_admission_check_decides_before_the_client_sends_a_byte(adapter: Adapter) {
    let server = echo(adapter).admission_check(|client| {
        let peer = client.peer_addr.expect("an address").ip().to_string();
        match &*peer {
            "127.0.0.3" => AdmissionDecision::Close,
            _ if client.from_address > 1 => {
                assert!(client.counts.handshakes + client.counts.open > 1);
                AdmissionDecision::Refuse(Response::new(429).header("Retry-After", "7").text("wait\n"))
            }
            _ => AdmissionDecision::Admit,
        }
    });
    let (server, monitor) = start(server);
    let first = expect_open(connect_from("127.0.0.1", server.address()));
    let reply = connect_from("127.0.0.1", server.address()).reply();
    assert_eq!((reply.status, &*reply.body), (429, "wait\n"));
    assert_eq!(wire::header(&reply.head, "Retry-After"), Some("7"));
    assert_eq!(connect_from("127.0.0.3", server.address()).rest().unwrap(), b"");
    let stats = monitor.stats();
    assert_eq!((stats.admission.check, stats.refused, stats.connections), (2, 2, 1));
    drop(first);
    eventually_open(&server);
}

fn a_client_whose_admission_check_panics_is_answered_with_500(adapter: Adapter) {
    let server = echo(adapter).max_connections(2).admission_check(|client| {
        assert_ne!(client.peer_addr.expect("an address").ip().to_string(), "127.0.0.3", "on purpose");
        AdmissionDecision::Admit
    });
    let (server, monitor) = start(server);
    for panics in 1..=5 {
        assert_eq!(connect_from("127.0.0.3", server.address()).reply().status, 500);
        assert_eq!((monitor.stats().panics, monitor.stats().admission.check), (panics, panics));
    }
    let _clients = [(); 2].map(|()| Raw::open(server.address(), "/"));
}

fn refused_clients_of_a_tls_server_are_closed_before_tls(adapter: Adapter) {
    let server = echo(adapter).tls(Authority::shared().server().serving()).max_connections(0);
    let (server, monitor) = start(server);
    assert_eq!(Raw::connect(server.address()).rest().unwrap(), b"");
    let stats = monitor.stats();
    assert_eq!((stats.admission.too_many_connections, stats.tls_errors), (1, 0));
}

fn expect_invalid(result: Result<Running, Error>, texts: &[&str]) {
    match result.map(drop) {
        Err(Error::Io(error)) => {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            for text in texts {
                assert!(error.to_string().contains(text), "{text} is not in: {error}");
            }
        }
        other => panic!("{other:?}"),
    }
}

type Change = fn(&mut AdmissionLimits);

fn impossible_limits_are_refused_at_bind(adapter: Adapter) {
    let impossible: [(Change, &str); 4] = [
        (|limits| limits.max_handshakes = Some(0), "`max_handshakes`"),
        (|limits| limits.max_handshake_rate_per_address = Some(0), "`max_handshake_rate_per_address`"),
        (|limits| limits.ipv6_prefix = 0, "`ipv6_prefix`"),
        (|limits| limits.max_connections_per_address = Some(11), "`max_connections_per_address`"),
    ];
    for (change, text) in impossible {
        let server = echo(adapter).max_connections(10).admission_limits(change);
        expect_invalid(server.bind("127.0.0.1:0"), &[text]);
    }
}

fn more_connections_than_descriptors_are_refused_at_bind(adapter: Adapter) {
    let Some(descriptors) = getrlimit(Resource::Nofile).current else { return };
    let descriptors = usize::try_from(descriptors).unwrap();
    let error = echo(adapter).max_connections(descriptors).bind("127.0.0.1:0");
    let numbers =
        [format!("`max_connections` is {descriptors}"), format!("only {descriptors} file descriptors")];
    expect_invalid(error, &numbers.each_ref().map(|text| &**text));
    // The default is lowered, which the listener and the metrics show.
    let (server, monitor) = start(echo(adapter));
    let most = if adapter == Adapter::Std { 4096 } else { 65_536 };
    assert_eq!(server.max_connections(), most.min(descriptors - 128));
    assert_eq!(monitor.stats().admission.max_connections, server.max_connections());
}

fn all_addresses_of_a_name_are_listened_on_with_one_port(adapter: Adapter) {
    // The addresses of a name. A resolver may return one of them twice.
    let name: [SocketAddr; 3] = ["127.0.0.1:0", "[::1]:0", "127.0.0.1:0"].map(|it| it.parse().unwrap());
    let server = echo(adapter).bind(&name[..]).unwrap();
    let &[v4, v6] = server.addresses() else { panic!("{:?}", server.addresses()) };
    assert!(v4.is_ipv4() && v6.is_ipv6() && v4.port() == v6.port());
    assert_eq!(server.address(), v4);
    for _ in 0..3 {
        for address in [v4, v6] {
            let mut client = Client::new(adapter, &format!("ws://{address}/")).connect().unwrap();
            client.send("is this the server?").unwrap();
            assert_eq!(client.message(), "is this the server?");
        }
    }
    // Clients that have connected when a stop begins are answered on both.
    let raws = [v4, v6].map(Raw::connect);
    server.handle().begin_stop(PATIENCE);
    for mut raw in raws {
        raw.write(wire::request("/", &[]));
        assert_eq!(raw.reply().status, 503);
    }
    for address in [v4, v6] {
        assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    }
    server.served().unwrap();
    let server = echo(adapter).bind("localhost:0").unwrap();
    assert!(
        server.addresses().iter().all(|it| it.ip().is_loopback() && it.port() == server.address().port())
    );
    // All IPv4 addresses and all IPv6 addresses need two sockets.
    let all: [SocketAddr; 2] = ["0.0.0.0:0", "[::]:0"].map(|it| it.parse().unwrap());
    assert_eq!(echo(adapter).bind(&all[..]).unwrap().addresses().len(), 2);
}

fn a_port_that_is_in_use_on_one_of_the_addresses_is_refused(adapter: Adapter) {
    let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = occupied.local_addr().unwrap();
    let free = SocketAddr::new("::1".parse().unwrap(), taken.port());
    match echo(adapter).bind(&[free, taken][..]).map(drop) {
        Err(Error::Io(error)) => {
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
            assert!(error.to_string().contains(&taken.to_string()), "{error}");
        }
        other => panic!("{other:?}"),
    }
    // Nothing is left that listens.
    drop(TcpListener::bind(free).unwrap());
}
