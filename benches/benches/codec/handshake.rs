//! The opening handshake in memory, from the first byte to an open connection.

use std::{
    hint::black_box,
    io::{self, Read, Write},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Buf;
use criterion::Criterion;
use futures_util::io::{AsyncRead, AsyncWrite};
use tungstenite::{client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig};
use ws_core::{Config, Connection, HandshakeConfig, OriginPolicy, Timestamp, client, server};

use crate::support::{drain, per_message, run};

/// A browser's request.
const REQUEST: &str = "GET /chat?room=17 HTTP/1.1\r\n\
    Host: example.com\r\n\
    Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 \
    Safari/537.36\r\n\
    Upgrade: websocket\r\n\
    Origin: https://example.com\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

const URL: &str = "ws://example.com/chat?room=17";

pub(crate) fn server(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handshake-server");
    let config = Arc::new(Config::default());
    let mut received = REQUEST.as_bytes().to_vec();
    per_message(&mut group, "browser", "core", 1, || {
        let mut connection = accept(&config, black_box(&mut received));
        drain(connection.transmit());
        black_box(&connection);
    });
    for (subject, config) in [("tungstenite", small_buffer()), ("tungstenite-default", Default::default())] {
        per_message(&mut group, "browser", subject, 1, || {
            let exchange = Exchange(black_box(REQUEST.as_bytes()));
            black_box(tungstenite::accept_with_config(exchange, Some(config)).unwrap());
        });
    }
    per_message(&mut group, "browser", "tokio-websockets", 1, || {
        let exchange = tokio::io::join(black_box(REQUEST.as_bytes()), tokio::io::sink());
        black_box(run(tokio_websockets::ServerBuilder::new().accept(exchange)).unwrap());
    });
    per_message(&mut group, "browser", "soketto", 1, || {
        use soketto::handshake::{Server, server::Response};
        let mut server = Server::new(Exchange(black_box(REQUEST.as_bytes())));
        run(async {
            let key = server.receive_request().await.unwrap().key();
            server.send_response(&Response::Accept { key, protocol: None }).await.unwrap();
        });
        black_box(server.into_builder().finish());
    });
    for (subject, buffer) in [("nexus-web", 4096), ("nexus-web-default", 1 << 20)] {
        per_message(&mut group, "browser", subject, 1, || {
            let exchange = Exchange(black_box(REQUEST.as_bytes()));
            let builder = nexus_web::ws::ClientBuilder::new().buffer_capacity(buffer);
            black_box(builder.accept(exchange).unwrap());
        });
    }
    // fastwebsockets and yawc leave the HTTP exchange to hyper.
}

pub(crate) fn client(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handshake-client");
    let config = Arc::new(Config::default());
    let begin = || {
        let request = client::Request::new(black_box(URL).parse().unwrap());
        client::Handshake::new(
            &request,
            &HandshakeConfig::default(),
            config.clone(),
            black_box([7; 32]),
            Timestamp::ZERO,
        )
        .unwrap()
    };
    // The same seed produces the same key, and the same key the same response.
    let mut request = vec![0; begin().transmit().remaining()];
    begin().transmit().copy_to_slice(&mut request);
    let mut received = response_to(&config, request);
    per_message(&mut group, "url", "core", 1, || {
        let mut handshake = begin();
        drain(handshake.transmit());
        black_box(handshake.receive(&mut black_box(&mut received[..])).unwrap().unwrap());
    });

    let response = response_to(&config, REQUEST.as_bytes().to_vec());
    for (subject, config) in [("tungstenite", small_buffer()), ("tungstenite-default", Default::default())] {
        per_message(&mut group, "url", subject, 1, || {
            let mut request = black_box(URL).into_client_request().unwrap();
            // Replace the random key with the one that the prepared response answers.
            let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
            request.headers_mut().insert("Sec-WebSocket-Key", key);
            let exchange = Exchange(black_box(&response));
            black_box(tungstenite::client::client_with_config(request, exchange, Some(config)).unwrap());
        });
    }

    let mut request = Vec::new();
    connect(tokio::io::join(tokio::io::empty(), &mut request)).unwrap_err();
    let response = response_to(&config, request);
    per_message(&mut group, "url", "tokio-websockets", 1, || {
        let exchange = tokio::io::join(black_box(&response[..]), tokio::io::sink());
        black_box(connect(exchange).unwrap());
    });
    // fastwebsockets and yawc leave the handshake to hyper. The keys of soketto and nexus-web are unpredictable.
}

/// Performs the client handshake of `tokio-websockets`.
fn connect<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    stream: S,
) -> Result<tokio_websockets::WebSocketStream<S>, tokio_websockets::Error> {
    // The same seed produces the same key here too.
    fastrand::seed(7);
    let builder = tokio_websockets::ClientBuilder::new().uri(black_box(URL)).unwrap();
    run(builder.connect_on(stream)).map(|(connection, _)| connection)
}

fn accept(config: &Arc<Config>, mut received: &mut [u8]) -> Connection {
    let mut handshake = server::Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
    let request = handshake.receive(&mut received).unwrap().unwrap();
    let upgrade = request.upgrade(&OriginPolicy::default()).unwrap();
    upgrade.accept(&server::Accept::new(), config.clone(), Timestamp::ZERO).unwrap()
}

fn response_to(config: &Arc<Config>, mut request: Vec<u8>) -> Vec<u8> {
    let mut connection = accept(config, &mut request);
    let mut response = vec![0; connection.buffered()];
    connection.transmit().copy_to_slice(&mut response);
    response
}

/// Disables the large buffer that tungstenite allocates for each connection by default.
fn small_buffer() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(4096)
}

/// A stream: its peer has sent these bytes and accepts all output.
struct Exchange<'a>(&'a [u8]);

impl Read for Exchange<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Exchange<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(black_box(buffer).len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Exchange<'_> {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.get_mut().read(buffer))
    }
}

impl AsyncWrite for Exchange<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.get_mut().write(buffer))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
