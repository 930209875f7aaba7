//! Servers without a listening socket, TLS over streams of the application, and handlers that are tested without a
//! network.

use std::{
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use futures_lite::future::zip;
use smol::{Async, block_on};
use ws_std::{
    Accept, AdmissionDecision, AdmissionStats, Chunk, CloseCode, CloseInfo, Error, HandshakeError, Response,
};
use ws_tests::{
    SLACK, bounded,
    certificates::Authority,
    either::{Adapter, Client, Handle, Route, Server, StreamServer, WebSocket},
    eventually, with_both_adapters,
};

with_both_adapters! {
    a_server_without_a_socket_has_routes_pages_and_counters
    a_url_with_tls_adds_tls_to_a_stream
    a_stop_closes_the_connections_on_streams_and_waits_for_them
    a_stop_aborts_what_has_not_ended_in_time
    a_client_beyond_the_maximum_is_answered
    the_check_of_admission_sees_clients_on_streams
    the_hooks_of_a_server_apply_to_streams
    a_connection_on_a_stream_counts_for_the_memory_limit
    a_redirect_on_a_stream_is_an_error
    a_handler_that_panics_closes_its_connection_and_is_reported
    a_stream_that_sends_no_request_is_no_connection
}

/// Serves one end of a new stream on a thread. Returns the other end.
fn serve(server: &StreamServer) -> (UnixStream, JoinHandle<()>) {
    let (client, stream) = UnixStream::pair().unwrap();
    let server = server.clone();
    (client, thread::spawn(move || server.serve(stream)))
}

fn connect(adapter: Adapter, stream: UnixStream, path: &str) -> Result<WebSocket, Error> {
    Client::new(adapter, &format!("ws://localhost{path}")).connect_over(stream)
}

fn echo_server(adapter: Adapter) -> Server {
    Server::new(adapter).mount("/echo", Route::echo(adapter))
}

fn a_server_without_a_socket_has_routes_pages_and_counters(adapter: Adapter) {
    let server = echo_server(adapter).page("/health", |_| Response::new(200).text("well"));
    let monitor = server.monitor();
    let server = server.for_streams().unwrap();
    let (client, serving) = serve(&server);
    let mut ws = connect(adapter, client, "/echo").unwrap();
    ws.send("Hello").unwrap();
    assert_eq!(ws.message(), "Hello");
    assert_eq!(server.handle().connections(), 1);
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    drop(ws);
    serving.join().unwrap();
    for (path, status) in [("/health", 426), ("/none", 404)] {
        let (client, serving) = serve(&server);
        let refused = connect(adapter, client, path).unwrap_err();
        let Error::Handshake(HandshakeError::Refused(response)) = &refused else { panic!("{refused:?}") };
        assert!(response.status() >= 400, "{path}: {} instead of {status}", response.status());
        serving.join().unwrap();
    }
    assert_eq!(server.handle().connections(), 0);
    assert_eq!(monitor.stats().sessions.sum.messages_received, 1);
}

fn a_url_with_tls_adds_tls_to_a_stream(adapter: Adapter) {
    let server = echo_server(adapter).tls(Authority::shared().server().serving()).for_streams().unwrap();
    for client_adapter in [Adapter::Std, Adapter::Smol] {
        let (client, serving) = serve(&server);
        let client = Client::new(client_adapter, "wss://localhost/echo")
            .tls(Authority::shared().trusted())
            .connect_over(client);
        let mut ws = client.unwrap();
        ws.send("secret").unwrap();
        assert_eq!(ws.message(), "secret");
        ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        serving.join().unwrap();
    }
}

fn a_stop_closes_the_connections_on_streams_and_waits_for_them(adapter: Adapter) {
    let server = echo_server(adapter).for_streams().unwrap();
    let clients: Vec<_> = (0..5)
        .map(|_| {
            let (client, serving) = serve(&server);
            let mut ws = connect(adapter, client, "/echo").unwrap();
            (thread::spawn(move || (ws.receive_to_end(), ws.close_info())), serving)
        })
        .collect();
    let handle: Handle = server.handle();
    eventually("all are open", || handle.connections() == 5);
    assert!(handle.stop(SLACK));
    assert_eq!(handle.connections(), 0);
    for (receiving, serving) in clients {
        let (received, close_info): (_, CloseInfo) = receiving.join().unwrap();
        received.unwrap();
        assert_eq!(close_info.code, CloseCode::GOING_AWAY);
        serving.join().unwrap();
    }
    // A stopped server opens no more connections.
    let (client, serving) = serve(&server);
    let refused = connect(adapter, client, "/echo").unwrap_err();
    assert!(matches!(refused, Error::Handshake(HandshakeError::Refused(_))), "{refused:?}");
    serving.join().unwrap();
}

fn a_stop_aborts_what_has_not_ended_in_time(adapter: Adapter) {
    let server = echo_server(adapter).for_streams().unwrap();
    let (client, serving) = serve(&server);
    // It never answers the server's Close.
    let ws = connect(adapter, client, "/echo").unwrap();
    let handle = server.handle();
    eventually("it is open", || handle.connections() == 1);
    assert!(!handle.stop(Duration::from_millis(50)));
    serving.join().unwrap();
    drop(ws);
}

fn a_client_beyond_the_maximum_is_answered(adapter: Adapter) {
    let server = echo_server(adapter).max_connections(1).for_streams().unwrap();
    let (client, first) = serve(&server);
    let mut ws = connect(adapter, client, "/echo").unwrap();
    let (client, second) = serve(&server);
    let refused = connect(adapter, client, "/echo").unwrap_err();
    let Error::Handshake(HandshakeError::Refused(response)) = &refused else { panic!("{refused:?}") };
    assert_eq!(response.status(), 503);
    second.join().unwrap();
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    first.join().unwrap();
}

fn refused(result: Result<WebSocket, Error>) -> Box<Response> {
    match result {
        Err(Error::Handshake(HandshakeError::Refused(response))) => response,
        result => panic!("{result:?}"),
    }
}

fn the_check_of_admission_sees_clients_on_streams(adapter: Adapter) {
    let server = echo_server(adapter).admission_check(|client| match client.counts.open {
        0 => AdmissionDecision::Admit,
        1 => AdmissionDecision::Refuse(Response::new(429)),
        _ => AdmissionDecision::Close,
    });
    let monitor = server.monitor();
    let server = server.for_streams().unwrap();
    let (client, first) = serve(&server);
    let mut ws = connect(adapter, client, "/echo").unwrap();
    let (client, second) = serve(&server);
    assert_eq!(refused(connect(adapter, client, "/echo")).status(), 429);
    second.join().unwrap();
    let AdmissionStats { handshakes, check, .. } = monitor.stats().admission;
    assert_eq!((handshakes, check), (0, 1));
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    first.join().unwrap();
    let AdmissionStats { handshakes, lingering, .. } = monitor.stats().admission;
    assert_eq!((handshakes, lingering), (0, 0));
}

fn the_hooks_of_a_server_apply_to_streams(adapter: Adapter) {
    let server = echo_server(adapter)
        .max_connections(1)
        .check(|request| match request.query() {
            Some(_) => Ok(Accept::new()),
            None => Err(Response::new(401)),
        })
        .default_header("X-Server", "streams")
        .error_page(|_, response| response.header("X-Page", "error"))
        .for_streams()
        .unwrap();
    let has_hooks = |response: &Response| {
        assert_eq!(response.headers().get("X-Server"), Some("streams"));
        assert_eq!(response.headers().get("X-Page"), Some("error"));
    };
    let (client, serving) = serve(&server);
    let response = refused(connect(adapter, client, "/echo"));
    assert_eq!(response.status(), 401);
    has_hooks(&response);
    serving.join().unwrap();
    let (client, serving) = serve(&server);
    let mut ws = connect(adapter, client, "/echo?user=7").unwrap();
    let (client, busy) = serve(&server);
    let response = refused(connect(adapter, client, "/echo?user=8"));
    assert_eq!(response.status(), 503);
    has_hooks(&response);
    busy.join().unwrap();
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    serving.join().unwrap();
}

fn a_connection_on_a_stream_counts_for_the_memory_limit(adapter: Adapter) {
    let server = echo_server(adapter).memory_limit(100 << 10).for_streams().unwrap();
    let (client, serving) = serve(&server);
    let mut ws = connect(adapter, client, "/echo").unwrap();
    for _ in 0..8 {
        // It fails after the server has closed the connection.
        let _ = ws.send_chunk(Chunk::new(vec![7; 64 << 10]));
    }
    assert_eq!(ws.receive_to_abnormal_close().code, CloseCode::TRY_AGAIN_LATER);
    drop(ws);
    serving.join().unwrap();
}

fn a_redirect_on_a_stream_is_an_error(adapter: Adapter) {
    let server = echo_server(adapter)
        .check(|_| Err(Response::new(302).header("Location", "/elsewhere")))
        .for_streams()
        .unwrap();
    let (client, serving) = serve(&server);
    let client = Client::new(adapter, "ws://localhost/echo").max_redirects(5).connect_over(client);
    let response = refused(client);
    assert_eq!((response.status(), response.headers().get("Location")), (302, Some("/elsewhere")));
    serving.join().unwrap();
}

fn a_handler_that_panics_closes_its_connection_and_is_reported(adapter: Adapter) {
    let reported = Arc::new(AtomicUsize::new(0));
    let counter = reported.clone();
    let server = Server::new(adapter).mount("/", Route::panics(adapter)).on_error(move |_| {
        counter.fetch_add(1, SeqCst);
    });
    let server = server.for_streams().unwrap();
    let (client, serving) = serve(&server);
    let mut ws = connect(adapter, client, "/").unwrap();
    assert_eq!(ws.receive_to_abnormal_close().code, CloseCode::INTERNAL_ERROR);
    drop(ws);
    serving.join().unwrap();
    assert_eq!(reported.load(SeqCst), 1);
}

fn a_stream_that_sends_no_request_is_no_connection(adapter: Adapter) {
    let server = echo_server(adapter).for_streams().unwrap();
    let (client, serving) = serve(&server);
    drop(client);
    serving.join().unwrap();
    assert_eq!(server.handle().connections(), 0);
}

/// In memory, with a capacity so small that each message needs many turns.
#[test]
fn a_handler_is_tested_in_memory_with_a_slow_peer() {
    bounded(|| {
        for capacity in [1, 7, 1000] {
            let server = ws_smol::Server::new()
                .route("/echo", |_request, mut ws| async move {
                    while let Some(message) = ws.receive().await? {
                        ws.send(message).await?;
                    }
                    Ok(())
                })
                .for_streams()
                .unwrap();
            let (client, stream) = ws_smol::testing::duplex(capacity);
            let test = async {
                let ws_client = ws_smol::Client::new("ws://test/echo");
                let mut ws = ws_client.connect_over(client).await.unwrap();
                for size in [0, 100, 10_000] {
                    ws.send(vec![7; size]).await.unwrap();
                    assert_eq!(ws.receive().await.unwrap().unwrap().len(), size);
                }
                ws.close(CloseCode::NORMAL_CLOSURE, "").await.unwrap();
                assert!(ws.close_info().unwrap().was_clean);
            };
            block_on(zip(test, server.serve(stream)));
        }
    });
}

#[test]
fn a_stream_in_memory_of_tokio_carries_a_websocket() {
    use tokio_util::compat::TokioAsyncReadCompatExt as _;
    bounded(|| {
        let (client, server) = tokio::io::duplex(100);
        let serving = async {
            let mut ws = ws_smol::accept(server.compat()).await.unwrap();
            while let Some(message) = ws.receive().await.unwrap() {
                ws.send(message).await.unwrap();
            }
        };
        let test = async {
            let client = ws_smol::Client::new("ws://test/").connect_over(client.compat());
            let mut ws = client.await.unwrap();
            ws.send("x".repeat(10_000)).await.unwrap();
            assert_eq!(ws.receive().await.unwrap().unwrap().len(), 10_000);
            ws.close(CloseCode::NORMAL_CLOSURE, "").await.unwrap();
        };
        block_on(zip(test, serving));
    });
}

/// TLS of the application below a WebSocket without TLS, against our own TLS.
#[test]
fn a_tls_stream_of_futures_rustls_carries_a_websocket() {
    use futures_rustls::{
        TlsConnector,
        rustls::{
            ClientConfig, RootCertStore,
            crypto::ring::default_provider,
            pki_types::{CertificateDer, ServerName, pem::PemObject as _},
        },
    };
    bounded(|| {
        for adapter in [Adapter::Std, Adapter::Smol] {
            let tls = Authority::shared().server().serving();
            let server = echo_server(adapter).tls(tls).for_streams().unwrap();
            let (client, serving) = serve(&server);
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(Authority::shared().pem().as_bytes()).unwrap()).unwrap();
            let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
            let config = config.with_safe_default_protocol_versions().unwrap();
            let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
            block_on(async {
                let name = ServerName::try_from("localhost").unwrap();
                let stream = Async::new(client).unwrap();
                let stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
                let mut ws = ws_smol::Client::new("ws://localhost/echo").connect_over(stream).await.unwrap();
                ws.send("x".repeat(100_000)).await.unwrap();
                assert_eq!(ws.receive().await.unwrap().unwrap().len(), 100_000);
                ws.close(CloseCode::NORMAL_CLOSURE, "").await.unwrap();
            });
            serving.join().unwrap();
        }
    });
}

#[test]
fn what_is_no_stream_socket_is_refused() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let error = ws_std::accept(std::os::fd::OwnedFd::from(socket)).unwrap_err();
    assert!(
        matches!(&error, Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidInput),
        "{error}"
    );
    let file = std::fs::File::open("/").unwrap();
    assert!(matches!(ws_std::accept(std::os::fd::OwnedFd::from(file)), Err(Error::Io(_))));
}
