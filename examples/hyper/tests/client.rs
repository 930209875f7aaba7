//! A client of `ws-core` over a client of hyper, with an extended CONNECT (RFC 8441).

use std::{
    future::poll_fn,
    io::{BufRead as _, BufReader},
    pin::Pin,
    process::{Child, Command, Stdio},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use http_body_util::Empty;
use hyper::{body::Bytes, client::conn::http2, ext::Protocol, upgrade};
use hyper_util::{rt::TokioExecutor, rt::TokioIo};
use tokio::{net::TcpStream, task::yield_now, time::timeout};
use tokio_util::compat::TokioAsyncReadCompatExt as _;
use ws_smol::{
    Clock, CloseCode, Config, WebSocket,
    ws_core::client::{Request, Upgrade},
};

/// The example program. It is killed when this is dropped.
struct Server(Child);

impl Server {
    /// Starts the program. Returns it and its address, such as `127.0.0.1:40001`.
    fn start() -> (Self, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hyper_server"));
        let mut server =
            Self(command.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ws://").unwrap().trim_end_matches('/');
        (server, address.to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn talk(address: &str) {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, mut http) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    // The server's settings have to arrive first. Another task receives them.
    while !http.is_extended_connect_protocol_enabled() {
        let is_over = poll_fn(|cx| Poll::Ready(Pin::new(&mut http).poll(cx).is_ready())).await;
        assert!(!is_over, "the connection ended");
        yield_now().await;
    }
    tokio::spawn(http);
    let request = Request::new(format!("ws://{address}/chat?x=1").parse().unwrap());
    let upgrade = Upgrade::extended_connect(&request, Arc::new(Config::default()), [7; 32]).unwrap();
    let mut request = upgrade.to_http_request().unwrap().map(|()| Empty::<Bytes>::new());
    request.extensions_mut().insert(Protocol::from_static("websocket"));
    let response = sender.send_request(request).await.unwrap();
    let clock = Clock::start();
    let (connection, _) = upgrade.accept_http_response(&response, clock.now()).unwrap();
    let stream = TokioIo::new(upgrade::on(response).await.unwrap()).compat();
    let mut ws = WebSocket::from_upgraded(stream, connection, clock, []);
    for size in [0, 1, 100_000] {
        ws.send(vec![7; size]).await.unwrap();
        assert_eq!(ws.receive().await.unwrap().unwrap().len(), size);
    }
    ws.close(CloseCode::NORMAL_CLOSURE, "bye").await.unwrap();
    assert!(ws.close_info().unwrap().was_clean);
}

#[tokio::test]
async fn a_client_opens_a_websocket_over_http_2() {
    let (_server, address) = Server::start();
    timeout(Duration::from_secs(60), talk(&address)).await.unwrap();
}
