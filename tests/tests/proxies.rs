//! Both adapters behind real proxies, with the configurations of the deployment examples.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::mpsc,
    time::Duration,
};

use ws_std::{AdmissionDecision, Error, ForwardedHeaders, HandshakeError, Request, TrustedProxies};
use ws_tests::{
    Folder, Process, Raw,
    certificates::Authority,
    either::{Adapter, Client, Handed, Route, Running, Server},
    eventually, takes, wire, with_both_adapters,
};

with_both_adapters! {
    behind_nginx_the_client_and_its_origin_are_known
    behind_haproxy_the_client_and_its_origin_are_known
    haproxy_reports_the_client_by_the_proxy_protocol_before_tls
    haproxy_reports_the_client_by_the_proxy_protocol_without_tls
    headers_of_clients_that_are_no_proxies_have_no_effect
    a_trusted_proxy_has_to_send_the_proxy_header_and_others_must_not
    a_health_check_by_the_proxy_protocol_is_no_error
    a_proxy_header_has_to_arrive_within_the_open_timeout
    admission_sees_the_proxy_and_the_handler_the_client
}

/// The address from which clients connect, to distinguish them from the proxies at 127.0.0.1.
const CLIENT: &str = "127.0.0.9";

fn proxies() -> TrustedProxies {
    TrustedProxies::new().network("127.0.0.1").unwrap()
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/deployment").join(name);
    fs::read_to_string(path).unwrap()
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits until a proxy listens.
fn wait_for(address: SocketAddr) {
    eventually("the proxy listens", || TcpStream::connect(address).is_ok());
}

fn is_client(request: &Request) -> bool {
    request.peer_addr().is_some_and(|address| address.ip().to_string() == CLIENT)
}

/// Connects through a proxy that terminates TLS, with allowed and refused origins and forged headers.
fn expect_client_behind(adapter: Adapter, proxy: SocketAddr, take: impl Fn() -> Handed) {
    let client = |origin: String| {
        Client::new(adapter, &format!("wss://localhost:{}/", proxy.port()))
            .tls(Authority::shared().trusted())
            .local_address(format!("{CLIENT}:0").parse().unwrap())
            .header("Forwarded", "for=192.0.2.66;host=evil.example;proto=http")
            .header("X-Forwarded-For", "192.0.2.66")
            .header("X-Forwarded-Host", "evil.example")
            .header("X-Forwarded-Proto", "http")
            .header("Origin", &origin)
            .connect()
    };
    let mut ws = client(format!("https://localhost:{}", proxy.port())).unwrap();
    let mut handed = take();
    assert!(is_client(&handed.request), "{:?}", handed.request);
    assert_eq!(handed.request.header("Host"), Some(&*format!("localhost:{}", proxy.port())));
    ws.send("Hello").unwrap();
    assert_eq!(handed.ws.message(), "Hello");
    for origin in [format!("http://localhost:{}", proxy.port()), "https://evil.example".into()] {
        match client(origin) {
            Err(Error::Handshake(HandshakeError::Refused(response))) => assert_eq!(response.status(), 403),
            other => panic!("{other:?}"),
        }
    }
    drop(handed);
    ws.receive_to_end().unwrap();
}

fn behind_nginx_the_client_and_its_origin_are_known(adapter: Adapter) {
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route);
    let server = server.trust_forwarded(ForwardedHeaders::XForwarded, proxies()).start();
    let (folder, proxy, identity) = (Folder::new(), free_address(), Authority::shared().server());
    let paths = [folder.write("chain.pem", &identity.chain), folder.write("key.pem", &identity.key)];
    let own = |name: &str| folder.file(name).display().to_string();
    let config = example("nginx.conf")
        .replace("127.0.0.1:9001", &server.address().to_string())
        .replace("127.0.0.1:8443", &proxy.to_string())
        .replace("/etc/ssl/example.pem", &paths[0].display().to_string())
        .replace("/etc/ssl/example.key", &paths[1].display().to_string());
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {};", own(kind)));
    let logs = format!("access_log off; {}", temporary.join(" "));
    let config = folder.write("nginx.conf", config.replace("http {", &format!("http {{ {logs}")));
    let globals = format!("daemon off; master_process off; pid {};", own("pid"));
    let _nginx = Process::start(
        Command::new("nginx")
            .arg("-p")
            .arg(own(""))
            .arg("-e")
            .arg("stderr")
            .arg("-c")
            .arg(config)
            .args(["-g", &globals]),
    );
    wait_for(proxy);
    expect_client_behind(adapter, proxy, take);
}

/// Starts HAProxy in front of a server for each of both ways. Returns its addresses.
fn haproxy(
    folder: &Folder,
    backend: SocketAddr,
    change: impl FnOnce(String) -> String,
) -> (Process, [SocketAddr; 2]) {
    let (listen, listen_tls, identity) = (free_address(), free_address(), Authority::shared().server());
    let certificate = folder.write("all.pem", format!("{}{}", identity.chain, identity.key));
    let config = folder.write("haproxy.cfg", change(example("haproxy.cfg")));
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(config).env("CERTIFICATE", certificate);
    command.env("LISTEN", listen.to_string()).env("LISTEN_TLS", listen_tls.to_string());
    command.env("BACKEND", backend.to_string()).env("BACKEND_TLS", backend.to_string());
    let haproxy = Process::start(&mut command);
    wait_for(listen);
    (haproxy, [listen, listen_tls])
}

fn behind_haproxy_the_client_and_its_origin_are_known(adapter: Adapter) {
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route);
    let server = server.trust_forwarded(ForwardedHeaders::Forwarded, proxies()).start();
    let folder = Folder::new();
    let (_haproxy, [proxy, _]) = haproxy(&folder, server.address(), |config| config);
    expect_client_behind(adapter, proxy, take);
}

/// Connects through HAProxy, which reports the client by each version of the PROXY protocol.
fn expect_client_by_proxy_protocol(
    adapter: Adapter,
    scheme: &str,
    server: &Running,
    take: impl Fn() -> Handed,
) {
    for version in ["send-proxy", "send-proxy-v2"] {
        let folder = Folder::new();
        let (_haproxy, [_, proxy]) =
            haproxy(&folder, server.address(), |config| config.replace("send-proxy-v2", version));
        let mut ws = Client::new(adapter, &format!("{scheme}://localhost:{}/", proxy.port()))
            .tls(Authority::shared().trusted())
            .local_address(format!("{CLIENT}:0").parse().unwrap())
            .connect()
            .unwrap();
        let mut handed = take();
        let [_, local] = ws.addresses();
        assert_eq!(handed.request.peer_addr(), local, "{version}");
        ws.send("Hello").unwrap();
        assert_eq!(handed.ws.message(), "Hello");
        drop(handed);
        ws.receive_to_end().unwrap();
    }
}

fn haproxy_reports_the_client_by_the_proxy_protocol_before_tls(adapter: Adapter) {
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route).proxy_protocol(proxies());
    let server = server.tls(Authority::shared().server().serving()).start();
    expect_client_by_proxy_protocol(adapter, "wss", &server, take);
}

fn haproxy_reports_the_client_by_the_proxy_protocol_without_tls(adapter: Adapter) {
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route).proxy_protocol(proxies()).start();
    expect_client_by_proxy_protocol(adapter, "ws", &server, take);
}

fn headers_of_clients_that_are_no_proxies_have_no_effect(adapter: Adapter) {
    for kind in [ForwardedHeaders::Forwarded, ForwardedHeaders::XForwarded] {
        let (route, take) = Route::hand_over(adapter);
        let server = Server::new(adapter).mount("/", route).trust_forwarded(kind, proxies()).start();
        let connect = |origin: &str| {
            Client::new(adapter, &format!("ws://{}/", server.address()))
                .local_address(format!("{CLIENT}:0").parse().unwrap())
                .header("Forwarded", "for=192.0.2.66;host=evil.example;proto=https")
                .header("X-Forwarded-For", "192.0.2.66")
                .header("X-Forwarded-Host", "evil.example")
                .header("X-Forwarded-Proto", "https")
                .header("Origin", origin)
                .connect()
        };
        let ws = connect(&format!("http://{}", server.address())).unwrap();
        let handed = take();
        assert_eq!(handed.request.peer_addr(), ws.addresses()[1]);
        connect("https://evil.example").unwrap_err();
        drop((ws, handed));
    }
}

fn a_trusted_proxy_has_to_send_the_proxy_header_and_others_must_not(adapter: Adapter) {
    let server = Server::new(adapter).mount("/", Route::echo(adapter)).proxy_protocol(proxies());
    let monitor = server.monitor();
    let server = server.start();
    // This test connects from 127.0.0.1.
    let mut raw = Raw::connect(server.address());
    raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(raw.head().starts_with("HTTP/1.1 400 "));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&format!("{CLIENT}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
    socket.connect(&server.address().into()).unwrap();
    let mut other = TcpStream::from(socket);
    other.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut head = [0; 13];
    other.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 400 ");
    eventually("both are counted", || monitor.stats().refused == 2);
}

fn a_health_check_by_the_proxy_protocol_is_no_error(adapter: Adapter) {
    let server = Server::new(adapter).mount("/", Route::echo(adapter)).proxy_protocol(proxies());
    let monitor = server.monitor();
    let server = server.start();
    // The command LOCAL, and then the end of the stream.
    let mut check = TcpStream::connect(server.address()).unwrap();
    check.write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0").unwrap();
    drop(check);
    eventually("it is counted as abandoned", || monitor.stats().abandoned == 1);
    // A header in two pieces, the second of them with the request.
    let mut raw = Raw::connect(server.address());
    raw.write_and_see_read("PROXY TCP4 192.0.2.1 192.");
    raw.write("0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(raw.head().starts_with("HTTP/1.1 426 "));
    assert_eq!(monitor.stats().refused, 0);
}

fn a_proxy_header_has_to_arrive_within_the_open_timeout(adapter: Adapter) {
    const TIMEOUT: Duration = Duration::from_millis(200);
    let server = Server::new(adapter).mount("/", Route::echo(adapter)).proxy_protocol(proxies());
    let server = server.configure_handshake(|limits| limits.open_timeout = Some(TIMEOUT)).start();
    let mut raw = Raw::connect(server.address());
    takes(TIMEOUT, || {
        raw.write("PROXY TCP4 ");
        assert!(raw.head().starts_with("HTTP/1.1 408 "));
    });
}

fn admission_sees_the_proxy_and_the_handler_the_client(adapter: Adapter) {
    let (arrivals, seen) = mpsc::channel();
    let (route, take) = Route::hand_over(adapter);
    let server =
        Server::new(adapter).mount("/", route).proxy_protocol(proxies()).admission_check(move |arrival| {
            arrivals.send(arrival.peer_addr).expect("the test waits");
            AdmissionDecision::Admit
        });
    let server = server.start();
    let mut raw = Raw::connect(server.address());
    let proxy = raw.socket().local_addr().unwrap();
    raw.write(format!("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n{}", wire::request("/", &[])));
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    assert_eq!(seen.recv().unwrap(), Some(proxy));
    let handed = take();
    assert_eq!(handed.request.peer_addr(), Some("192.0.2.1:1".parse().unwrap()));
    assert_eq!(handed.ws.addresses()[0], Some(proxy));
}
