//! Listening sockets: Unix-domain sockets, inherited sockets, IPv6 and `SO_REUSEPORT`. Also peers that vanish.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, SockAddr, Socket, Type};
use ws_std::{CloseCode, Error, Keepalive, TimeoutKind, ws_core::Cause};
use ws_tests::{
    Folder, Raw, SLACK,
    certificates::Authority,
    either::{Adapter, Client, Pairing, Route, Running, Server, WebSocket},
    eventually, takes, with_both_adapters, with_every_pairing,
};

with_every_pairing! {
    a_unix_domain_socket_serves
    a_socket_that_listens_already_is_taken_over
    ipv6_serves
    servers_may_share_a_port
    a_port_that_is_taken_is_a_readable_error
}

with_both_adapters! {
    a_path_that_is_taken_is_a_readable_error
    a_server_on_a_path_is_reached_only_while_it_serves
    the_connect_timeout_bounds_the_wait_for_a_full_unix_backlog
    a_server_that_vanishes_is_noticed_within_interval_and_timeout
    a_client_that_vanishes_is_noticed_within_interval_and_timeout
    a_peer_that_vanishes_while_much_is_sent_to_it_is_noticed
}

fn expect_echo(mut ws: WebSocket) {
    ws.send("anybody there?").unwrap();
    assert_eq!(ws.message(), "anybody there?");
    ws.send(vec![1; 500_000]).unwrap();
    assert_eq!(ws.message().len(), 500_000);
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    assert!(ws.close_info().was_clean);
}

fn a_unix_domain_socket_serves(pairing: Pairing) {
    let folder = Folder::new();
    let _server = pairing.serve(Route::echo(pairing.server)).bind_unix(&folder.file("socket")).unwrap();
    let url = if pairing.transport.is_tls() { "wss://localhost/" } else { "ws://localhost/" };
    for _ in 0..2 {
        let client = Client::new(pairing.client, url).tls(Authority::shared().trusted());
        expect_echo(client.connect_unix(folder.file("socket")).unwrap());
    }
}

fn a_socket_that_listens_already_is_taken_over(pairing: Pairing) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = pairing.serve(Route::echo(pairing.server)).bind_socket(listener).unwrap();
    assert_eq!(server.address(), address);
    expect_echo(pairing.client(&server, "/").connect().unwrap());
}

fn the_connect_timeout_bounds_the_wait_for_a_full_unix_backlog(adapter: Adapter) {
    const TIMEOUT: Duration = Duration::from_millis(200);
    let folder = Folder::new();
    let path = folder.file("socket");
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let address = SockAddr::unix(&path).unwrap();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    // It takes one connection more than its backlog.
    let waiting = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    waiting.connect(&address).unwrap();
    let client = Client::new(adapter, "ws://localhost/").connect_timeout(TIMEOUT);
    let error = takes(TIMEOUT, || client.connect_unix(&path).unwrap_err());
    assert!(matches!(error, Error::Timeout(TimeoutKind::Connect)), "{error}");
}

fn ipv6_serves(pairing: Pairing) {
    let server = pairing.serve(Route::echo(pairing.server)).bind("[::1]:0").unwrap();
    assert!(server.address().is_ipv6());
    expect_echo(pairing.client(&server, "/").connect().unwrap());
}

fn servers_may_share_a_port(pairing: Pairing) {
    let serve = || pairing.serve(Route::echo(pairing.server)).reuse_port();
    let one = serve().start();
    let other = serve().bind(one.address()).unwrap();
    let mut clients = Vec::new();
    eventually("both have clients", || {
        clients.push(pairing.client(&one, "/").connect().unwrap());
        one.handle().connections() > 0 && other.handle().connections() > 0
    });
    clients.into_iter().take(4).for_each(expect_echo);
}

fn a_port_that_is_taken_is_a_readable_error(pairing: Pairing) {
    let one = pairing.serve(Route::echo(pairing.server)).start();
    let error = pairing.serve(Route::echo(pairing.server)).bind(one.address()).unwrap_err();
    assert!(error.to_string().contains(&one.address().to_string()), "{error}");
}

fn a_path_that_is_taken_is_a_readable_error(adapter: Adapter) {
    let folder = Folder::new();
    folder.write("socket", "something else");
    let server = Server::new(adapter).mount("/", Route::echo(adapter));
    let error = server.bind_unix(&folder.file("socket")).unwrap_err();
    assert!(error.to_string().contains("ws-tests"), "{error}");
    assert_eq!(fs::read(folder.file("socket")).unwrap(), b"something else");
}

fn connect_to(adapter: Adapter, path: &Path) -> Result<WebSocket, Error> {
    Client::new(adapter, "ws://localhost/").connect_unix(path)
}

fn a_server_on_a_path_is_reached_only_while_it_serves(adapter: Adapter) {
    let folder = Folder::new();
    let error = connect_to(adapter, &folder.file("socket")).unwrap_err();
    assert!(error.to_string().contains("ws-tests"), "{error}");
    let server =
        Server::new(adapter).mount("/", Route::echo(adapter)).bind_unix(&folder.file("socket")).unwrap();
    expect_echo(connect_to(adapter, &folder.file("socket")).unwrap());
    drop(server);
    assert!(matches!(connect_to(adapter, &folder.file("socket")), Err(Error::Io(_))));
}

const KEEPALIVE: Keepalive = Keepalive {
    interval: Duration::from_millis(100),
    timeout: Duration::from_millis(200),
    max_missed: Some(1),
};

fn expect_dead(error: Error, since: Instant) {
    let Error::Disconnected(close_info) = error else { panic!("{error:?}") };
    assert_eq!(close_info.cause, Cause::Timeout(TimeoutKind::Keepalive));
    let took = since.elapsed();
    assert!(took >= KEEPALIVE.timeout, "{took:?}");
    assert!(took < KEEPALIVE.interval + KEEPALIVE.timeout + SLACK, "{took:?}");
}

fn a_server_that_vanishes_is_noticed_within_interval_and_timeout(adapter: Adapter) {
    let (mut ws, _silent) = Client::connected_to_raw(adapter, |client| {
        client.configure(|config| config.keepalive = Some(KEEPALIVE))
    });
    let began = Instant::now();
    expect_dead(ws.receive().unwrap_err(), began);
}

fn server(adapter: Adapter) -> (Running, impl Fn() -> ws_tests::either::Handed) {
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route);
    (server.configure(|config| config.keepalive = Some(KEEPALIVE)).start(), take)
}

fn a_client_that_vanishes_is_noticed_within_interval_and_timeout(adapter: Adapter) {
    let (server, take) = server(adapter);
    let began = Instant::now();
    let _silent = Raw::open(server.address(), "/");
    let mut handed = take();
    expect_dead(handed.ws.receive().unwrap_err(), began);
}

fn a_peer_that_vanishes_while_much_is_sent_to_it_is_noticed(adapter: Adapter) {
    let (server, take) = server(adapter);
    let began = Instant::now();
    let _silent = Raw::open(server.address(), "/");
    let handed = take();
    let (sender, mut receiver) = handed.ws.split();
    // More than all buffers hold, so that sending waits for a peer that never reads.
    let sending = thread::spawn(move || while sender.send(vec![0; 1 << 20]).is_ok() {});
    expect_dead(receiver.receive().unwrap_err(), began);
    sending.join().unwrap();
}
