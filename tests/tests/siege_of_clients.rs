//! Clients under attack by their servers: time and memory are bounded, no descriptor leaks, and another connection of
//! the same process is not affected.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use ws_std::{Config, Error, HandshakeError, ProtocolError};
use ws_tests::{
    Raw, RawListener, Transport, bounded,
    certificates::Authority,
    either::{Adapter, Client, Pairing, Route, WebSocket},
    let_pass,
    siege::{alone, besiege},
    wire::{self, Frame},
};

/// Maximum memory of one connection: buffers, a thread of the raw server, a TLS session.
const CONNECTION: usize = 4 << 20;
/// Timeout of a handshake that the attack delays.
const SHORT: Duration = Duration::from_millis(300);
/// Timeout of all other steps.
const BOUND: Duration = Duration::from_secs(5);

/// Attacks clients of both adapters, one after the other.
fn attack(attack: impl Fn(Adapter) + Copy + Send + 'static) {
    let _alone = alone();
    bounded(move || {
        for adapter in [Adapter::Std, Adapter::Smol] {
            let prepare = || {
                let pairing = Pairing { client: adapter, server: Adapter::Std, transport: Transport::Plain };
                let server = pairing.serve(Route::echo(Adapter::Std)).start();
                let mut witness = pairing.client(&server, "/").connect().expect("a connection");
                let ask = move || {
                    witness.send("still there?").expect("a connection");
                    assert_eq!(witness.message(), "still there?");
                };
                // Data that TLS allocates once.
                drop(Authority::shared().trusted());
                (server, ask)
            };
            besiege(CONNECTION, prepare, |_| attack(adapter));
        }
    });
}

/// Connects a client to a server that handles the connection with `serve`.
fn connect(
    client: impl FnOnce(&str) -> Client,
    serve: impl FnOnce(Raw) + Send + 'static,
) -> Result<WebSocket, Error> {
    let listener = RawListener::new();
    let client = client(&listener.url("/"));
    let serving = thread::spawn(move || serve(listener.accept()));
    let began = Instant::now();
    let result = client.connect();
    assert!(began.elapsed() < BOUND, "it took {:?}", began.elapsed());
    if result.is_err() {
        serving.join().expect("no panic in the server");
    }
    result
}

fn handshake_error(
    client: impl FnOnce(&str) -> Client,
    serve: impl FnOnce(Raw) + Send + 'static,
) -> HandshakeError {
    match connect(client, serve).map(drop) {
        Err(Error::Handshake(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn plain(adapter: Adapter) -> impl FnOnce(&str) -> Client {
    move |url| Client::new(adapter, url)
}

fn configured(adapter: Adapter, change: fn(&mut Config)) -> impl FnOnce(&str) -> Client {
    move |url| Client::new(adapter, url).configure(change)
}

/// Writes until the other end is gone.
fn flood(mut socket: &TcpStream, bytes: &[u8]) {
    while socket.write_all(bytes).is_ok() {}
}

/// Opens a connection to a server that then runs `serve`.
fn open(client: impl FnOnce(&str) -> Client, serve: impl FnOnce(Raw) + Send + 'static) -> WebSocket {
    let opened = connect(client, |mut raw| {
        let response = wire::response(&raw.head());
        raw.write(response);
        serve(raw);
    });
    opened.expect("a connection")
}

#[test]
fn responses_that_never_end_are_not_read_to_their_end() {
    attack(|adapter| {
        for (start, again) in [
            ("", "x"),
            ("HTTP/1.1 101 Switching\r\n", "X-Field: x\r\n"),
            ("HTTP/1.1 101 Switching\r\nX-Field: ", "x"),
            ("", "HTTP/1.1 100 Continue\r\n\r\n"),
            ("HTTP/1.1 200 OK\r\n\r\n", "x"),
            ("HTTP/1.1 503 Oops\r\nContent-Length: 4611686018427387904\r\n\r\n", "x"),
            ("HTTP/1.1 503 Oops\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
            ("HTTP/1.1 503 Oops\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n", "x"),
            ("HTTP/1.1 503 Oops\r\nTransfer-Encoding: chunked\r\n\r\n", "0"),
        ] {
            let error = handshake_error(plain(adapter), move |mut raw| {
                raw.head();
                raw.write(start);
                flood(raw.socket(), again.repeat(2000).as_bytes());
            });
            match error {
                HandshakeError::Refused(response) => assert!(response.body_bytes().len() <= 4096),
                HandshakeError::Timeout => panic!("{start:?} was read until there was no more time"),
                _ => assert!(!start.contains("200") && !start.contains("503"), "{start:?}: {error:?}"),
            }
        }
    });
}

#[test]
fn responses_that_drip_end_when_their_time_is_up() {
    attack(|adapter| {
        for start in ["", "HTTP/1.1 101 ", "HTTP/1.1 503 Oops\r\nContent-Length: 1000\r\n\r\n"] {
            let client = move |url: &str| {
                Client::new(adapter, url).configure_handshake(|limits| limits.open_timeout = Some(SHORT))
            };
            let error = handshake_error(client, move |mut raw| {
                raw.head();
                raw.write(start);
                while raw.socket().write_all(b"x").is_ok() {
                    let_pass(SHORT / 10);
                }
            });
            match error {
                HandshakeError::Timeout => assert!(!start.contains("503")),
                // No response can start with these bytes, so the client need not wait for more.
                HandshakeError::NotHttp { .. } => assert_eq!(start, ""),
                HandshakeError::Refused(response) => assert_eq!(response.status(), 503),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn responses_to_something_else_are_refused() {
    attack(|adapter| {
        let answer = |from: &'static str, to: &'static str| {
            handshake_error(plain(adapter), move |mut raw| {
                let response = wire::response(&raw.head());
                assert_ne!(response.replace(from, to), response);
                raw.write(response.replace(from, to));
            })
        };
        let wrong = HandshakeError::InvalidHeader("Sec-WebSocket-Accept");
        assert_eq!(answer("Accept: ", "Accept: x"), wrong);
        assert_eq!(answer("=\r\n", "\r\n"), wrong);
        let end = "\r\n\r\n";
        let subprotocol = "\r\nSec-WebSocket-Protocol: unheard-of\r\n\r\n";
        assert_eq!(answer(end, subprotocol), HandshakeError::UnofferedSubprotocol);
        for extension in [
            "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: x-unheard-of; a=1\r\n\r\n",
        ] {
            assert_eq!(answer(end, extension), HandshakeError::UnofferedExtension);
        }
        for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
            let error = handshake_error(plain(adapter), move |mut raw| {
                raw.head();
                raw.write(format!(
                    "HTTP/1.1 {status}\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
                ));
            });
            // The client reports the redirect and does not follow it.
            assert!(matches!(error, HandshakeError::Refused(_)), "{error:?}");
        }
    });
}

#[test]
fn servers_that_go_at_any_stage_end_the_handshake_at_once() {
    attack(|adapter| {
        let len = wire::response(&wire::request("/", &[])).len();
        for number in 0..40 {
            let result = connect(plain(adapter), move |mut raw| {
                let response = wire::response(&raw.head());
                raw.write(&response[..(len - 1) * number / 39]);
                if number % 2 == 0 { raw.reset() } else { drop(raw) }
            });
            let error = result.map(drop).expect_err("no connection");
            assert!(matches!(error, Error::Handshake(HandshakeError::Eof) | Error::Io(_)), "{error:?}");
        }
        // At three moments: before the request was read, with the response, and in a message.
        connect(plain(adapter), Raw::reset).map(drop).expect_err("no connection");
        open(plain(adapter), Raw::reset).receive().expect_err("no message");
        let mut ws = open(plain(adapter), |raw| raw.write(&Frame::text("cut off").encode()[..5]));
        ws.receive().expect_err("no message");
    });
}

/// Connects a client with TLS to a server without TLS.
fn connect_secure(adapter: Adapter, serve: impl FnOnce(TcpStream) + Send + 'static) -> Error {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("wss://{}/", listener.local_addr().expect("an address"));
    let serving = thread::spawn(move || serve(listener.accept().expect("a client").0));
    let client = Client::new(adapter, &url).tls(Authority::shared().trusted());
    let began = Instant::now();
    let result = client.configure_handshake(|limits| limits.open_timeout = Some(SHORT)).connect();
    assert!(began.elapsed() < BOUND, "it took {:?}", began.elapsed());
    serving.join().expect("no panic in the server");
    result.map(drop).expect_err("no connection")
}

#[test]
fn what_is_no_tls_ends_the_handshake_and_so_does_silence() {
    attack(|adapter| {
        let record = [&[0x16, 3, 3, 0x40, 0][..], &[2; 0x4000]].concat();
        for garbage in [b"HTTP/1.1 400 Bad\r\n\r\n".to_vec(), vec![0; 1000], vec![0xFF; 1000], record] {
            let error = connect_secure(adapter, move |socket| flood(&socket, &garbage));
            assert!(matches!(error, Error::Tls(_)), "{error:?}");
        }
        let silence = connect_secure(adapter, |mut socket| {
            let mut buffer = [0; 1000];
            while matches!(socket.read(&mut buffer), Ok(1..)) {}
        });
        assert!(matches!(silence, Error::Handshake(HandshakeError::Timeout)), "{silence:?}");
        let drip = connect_secure(adapter, |mut socket| {
            socket.write_all(&[0x16, 3, 3, 0x40, 0, 2]).expect("a write");
            while socket.write_all(&[0]).is_ok() {
                let_pass(SHORT / 10);
            }
        });
        assert!(matches!(drip, Error::Handshake(HandshakeError::Timeout)), "{drip:?}");
    });
}

#[test]
fn pings_of_a_server_that_does_not_read_cost_no_memory() {
    attack(|adapter| {
        let (tell, told) = mpsc::channel::<()>();
        let mut ws = open(plain(adapter), move |raw| {
            let pings = Frame::new(Frame::PING, [7; 125]).encode().repeat(100);
            (0..1000).for_each(|_| raw.write(&pings));
            raw.send_unmasked(&Frame::text("over"));
            // The server does not read until the client has received the last message.
            let _ = told.recv();
        });
        assert_eq!(ws.message(), "over");
        drop(tell);
    });
}

#[test]
fn frames_without_measure_are_refused() {
    attack(|adapter| {
        let mut ws = open(plain(adapter), |raw| {
            let first = Frame::new(Frame::BINARY, "").unfinished().encode();
            let more = Frame::new(Frame::CONTINUATION, "").unfinished().encode().repeat(10_000);
            let _ = raw.socket().write_all(&[first, more].concat());
            flood(raw.socket(), &[0; 1000]);
        });
        let error = ws.receive().expect_err("too many");
        assert!(matches!(error, Error::Protocol(ProtocolError::TooManyFragments { .. })), "{error:?}");
        let claim = [&[0x82, 0x7F, 0x40, 0, 0, 0, 0, 0, 0, 0][..], &[0; 10_000]].concat();
        let refused = claim.clone();
        let mut ws = open(plain(adapter), move |raw| flood(raw.socket(), &refused));
        let error = ws.receive().expect_err("too large");
        assert!(matches!(error, Error::Protocol(ProtocolError::MessageTooLarge { .. })), "{error:?}");
        // Without a limit, memory is used only for the received bytes.
        let client = configured(adapter, |config| config.max_message_size = usize::MAX);
        let mut ws = open(client, move |raw| raw.write(claim));
        assert!(matches!(ws.receive().expect_err("cut off"), Error::Disconnected(_) | Error::Io(_)));
    });
}

#[test]
fn a_server_that_floods_behind_its_close_is_left_after_the_close_timeout() {
    attack(|adapter| {
        let client = configured(adapter, |config| config.close_timeout = SHORT);
        let mut ws = open(client, |raw| {
            raw.send_unmasked(&Frame::close(1000, ""));
            flood(raw.socket(), &[0; 100_000]);
        });
        let began = Instant::now();
        assert_eq!(ws.receive().expect("an end"), None);
        assert!(began.elapsed() < BOUND, "it took {:?}", began.elapsed());
        assert!(ws.close_info().was_clean);
    });
}
