//! The opening handshake, from the first byte to a connection, with everything in memory.

use std::{
    hint::black_box,
    io::{self, Read, Write},
    sync::Arc,
};

use bytes::Buf;
use criterion::Criterion;
use tungstenite::{client::IntoClientRequest, http::HeaderValue, protocol::WebSocketConfig};
use ws_core::{Config, Connection, Timestamp, client, server};

use crate::support::{drain, per_message};

/// What a browser sends.
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
}

pub(crate) fn client(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handshake-client");
    let config = Arc::new(Config::default());
    let begin = || {
        let request = client::Request::new(black_box(URL).parse().unwrap());
        client::Handshake::new(&request, config.clone(), black_box([7; 32]), Timestamp::ZERO).unwrap()
    };
    // The same seed makes the same key, and the same key the same response.
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
            // In place of the random one, for the sake of the response.
            let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
            request.headers_mut().insert("Sec-WebSocket-Key", key);
            let exchange = Exchange(black_box(&response));
            black_box(tungstenite::client::client_with_config(request, exchange, Some(config)).unwrap());
        });
    }
}

fn accept(config: &Arc<Config>, mut received: &mut [u8]) -> Connection {
    let mut handshake = server::Handshake::new(config.clone(), Timestamp::ZERO);
    let request = handshake.receive(&mut received).unwrap().unwrap();
    let upgrade = request.upgrade(&config.origin).unwrap();
    upgrade.accept(&server::Accept::new(), config.clone(), Timestamp::ZERO).unwrap()
}

fn response_to(config: &Arc<Config>, mut request: Vec<u8>) -> Vec<u8> {
    let mut connection = accept(config, &mut request);
    let mut response = vec![0; connection.buffered()];
    connection.transmit().copy_to_slice(&mut response);
    response
}

/// Without the large buffer that tungstenite allocates for each connection by default.
fn small_buffer() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(4096)
}

/// A peer that has sent this and takes whatever is sent.
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
