//! Clients that violate the protocol: their own connections fail, and others are not affected.

use std::time::{Duration, Instant};

use ws_std::{CloseCode, Server, WebSocket};
use ws_tests::{
    Raw, Reply, Running, bounded, echo, eventually,
    wire::{self, Frame},
};

/// A server under attack, and a client that must not be affected.
struct Stage {
    bystander: WebSocket,
    server: Running,
}

impl Stage {
    fn new() -> Self {
        let server = Running::start(Server::new().route("/", echo));
        let bystander = ws_std::connect(&server.url("/")).unwrap();
        Self { bystander, server }
    }

    /// Sends bytes instead of a request, and reads the response up to the end of the stream.
    fn request(&self, bytes: impl AsRef<[u8]>) -> Reply {
        let mut raw = Raw::connect(self.server.address());
        raw.write(bytes);
        let reply = raw.reply();
        assert_eq!(wire::header(&reply.head, "Connection"), Some("close"), "{}", reply.head);
        reply
    }

    /// Sends bytes over an open connection. Reads the Close and the end of the stream, and returns the close code.
    fn violate(&self, bytes: impl AsRef<[u8]>) -> u16 {
        let mut raw = Raw::open(self.server.address(), "/");
        raw.write(bytes);
        let (code, _) = raw.frame().code_and_reason();
        // Bytes in flight must neither be answered nor turn the end into a reset.
        raw.write(vec![0; 100_000]);
        assert_eq!(raw.next_frame(), None);
        code
    }

    fn is_unharmed(&mut self) {
        for ws in [&mut self.bystander, &mut ws_std::connect(&self.server.url("/")).unwrap()] {
            ws.send("still there?").unwrap();
            assert_eq!(ws.receive().unwrap().unwrap(), "still there?");
        }
    }
}

#[test]
fn garbage_instead_of_a_request_is_400() {
    bounded(|| {
        let mut stage = Stage::new();
        for garbage in [
            &b"\r\n\r\n"[..],
            b"\n\n",
            b"GET / HTTP/1.1\nHost: x\n\n",
            b"GET / HTTP/1.1\r\nHost: x\n\r\n",
            b"GET / HTTP/0.9\r\nHost: x\r\n\r\n",
            b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
            b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03\r\n\r\n",
            b"\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58\r\n\r\n",
        ] {
            let reply = stage.request(garbage);
            assert_eq!(reply.status, 400, "{:?}", String::from_utf8_lossy(garbage));
        }
        stage.is_unharmed();
    });
}

#[test]
fn an_upgrade_that_breaks_the_rules_is_400() {
    bounded(|| {
        let mut stage = Stage::new();
        let request = wire::request("/", &[]);
        for (from, to) in [
            (wire::KEY, "c2hvcnQ="),
            (wire::KEY, "not base64 at all"),
            ("Sec-WebSocket-Key: ", "X-Key: "),
            ("Connection: Upgrade", "Connection: keep-alive"),
            ("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nHello"),
            ("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            ("\r\n\r\n", "\r\nSec-WebSocket-Version: 13\r\n\r\n"),
            ("\r\n\r\n", "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
            ("\r\n\r\n", "\r\nSec-WebSocket-Protocol: a b\r\n\r\n"),
        ] {
            assert_ne!(request.replacen(from, to, 1), request);
            let reply = stage.request(request.replacen(from, to, 1));
            assert_eq!(reply.status, 400, "{to:?} for {from:?}");
        }
        stage.is_unharmed();
    });
}

#[test]
fn a_head_without_an_end_is_431_or_414_and_the_answer_arrives() {
    bounded(|| {
        let mut stage = Stage::new();
        let start = "GET / HTTP/1.1\r\nHost: x\r\n";
        let long = format!("{start}X-Long: {}", "x".repeat(100 << 10));
        assert_eq!(stage.request(long).status, 431);
        let many = format!("{start}{}", "X-Many: x\r\n".repeat(10 << 10));
        assert_eq!(stage.request(many).status, 431);
        let line = format!("GET /{}", "x".repeat(100 << 10));
        assert_eq!(stage.request(line).status, 414);
        stage.is_unharmed();
    });
}

#[test]
fn handshakes_that_do_not_go_on_keep_no_other_client_waiting() {
    bounded(|| {
        let mut stage = Stage::new();
        let stuck: Vec<_> = (0..200)
            .map(|number| {
                let raw = Raw::connect(stage.server.address());
                raw.write(&wire::request("/", &[])[..number % 100]);
                raw
            })
            .collect();
        eventually("all were accepted", || stage.server.handle().connections() == stuck.len() + 1);
        let began = Instant::now();
        stage.is_unharmed();
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    });
}

#[test]
fn frames_that_break_the_rules_are_answered_with_1002() {
    bounded(|| {
        let mut stage = Stage::new();
        let mask = [0x37, 0xFA, 0x21, 0x3D];
        let with_mask = |header: &[u8]| [header, &mask].concat();
        for (what, bytes) in [
            ("unmasked", Frame::text("hello").encode()),
            ("a reserved bit", with_mask(&[0x91, 0x80])),
            ("a reserved opcode", with_mask(&[0x83, 0x80])),
            ("a reserved control opcode that claims much", with_mask(&[0x8B, 0xFE, 0xFF, 0xFF])),
            ("a continuation of nothing", Frame::new(Frame::CONTINUATION, "x").masked().encode()),
            ("a ping in fragments", Frame::new(Frame::PING, "x").unfinished().masked().encode()),
            ("a long ping", Frame::new(Frame::PING, [0; 126]).masked().encode()),
            ("a length that could be shorter", with_mask(&[0x82, 0xFE, 0x00, 0x7D])),
            ("a length with its highest bit", with_mask(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0])),
            ("a Close of one byte", Frame::new(Frame::CLOSE, [3]).masked().encode()),
            ("a Close with 1006", Frame::close(1006, "").masked().encode()),
        ] {
            assert_eq!(stage.violate(bytes), 1002, "{what}");
        }
        stage.is_unharmed();
    });
}

#[test]
fn a_claim_of_four_exabytes_is_1009_before_a_byte_of_it_comes() {
    bounded(|| {
        let mut stage = Stage::new();
        assert_eq!(stage.violate([0x82, 0xFF, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]), 1009);
        stage.is_unharmed();
    });
}

#[test]
fn fragments_that_come_to_too_much_are_1009() {
    bounded(|| {
        let mut stage = Stage::new();
        let first = Frame::new(Frame::BINARY, vec![0; 1 << 20]).unfinished().masked().encode();
        let one_more = Frame::new(Frame::CONTINUATION, [0]).masked().encode();
        assert_eq!(stage.violate([first, one_more].concat()), 1009);
        stage.is_unharmed();
    });
}

#[test]
fn fragments_that_are_too_many_are_1008() {
    bounded(|| {
        let mut stage = Stage::new();
        let mut flood = Frame::text("").unfinished().masked().encode();
        for _ in 0..1024 {
            flood.extend(Frame::new(Frame::CONTINUATION, "").unfinished().masked().encode());
        }
        assert_eq!(stage.violate(flood), 1008);
        stage.is_unharmed();
    });
}

#[test]
fn text_that_is_not_utf8_is_1007_as_soon_as_that_is_certain() {
    bounded(|| {
        let mut stage = Stage::new();
        assert_eq!(stage.violate(Frame::new(Frame::TEXT, *b"caf\xE9").masked().encode()), 1007);
        let surrogate = Frame::new(Frame::TEXT, *b"\xED\xA0\x80").unfinished();
        assert_eq!(stage.violate(surrogate.masked().encode()), 1007);
        // An incomplete frame with invalid first bytes.
        let begun = Frame::new(Frame::TEXT, [&b"\xC0\xAF"[..], &[b'x'; 1000]].concat()).masked().encode();
        assert_eq!(stage.violate(&begun[..20]), 1007);
        assert_eq!(stage.violate(Frame::new(Frame::CLOSE, *b"\x03\xE8\xFF").masked().encode()), 1007);
        stage.is_unharmed();
    });
}

#[test]
fn resets_at_any_time_harm_nobody() {
    bounded(|| {
        let mut stage = Stage::new();
        let mut stream = wire::request("/", &[]).into_bytes();
        let head = stream.len();
        stream.extend(Frame::new(Frame::BINARY, vec![0; 100_000]).masked().encode());
        for number in 0..100 {
            let raw = Raw::connect(stage.server.address());
            raw.write(&stream[..number * 3]);
            raw.reset();
            let raw = Raw::connect(stage.server.address());
            raw.write(&stream[..head + number * 1000]);
            raw.reset();
        }
        eventually("all have ended", || stage.server.handle().connections() == 1);
        stage.is_unharmed();
    });
}

#[test]
fn pings_of_a_client_that_does_not_read_harm_nobody() {
    bounded(|| {
        let mut stage = Stage::new();
        let raw = Raw::open(stage.server.address(), "/");
        let pings = Frame::new(Frame::PING, [7; 125]).masked().encode().repeat(1000);
        // Far more than the buffers of both sockets hold. The server reads all of them.
        for _ in 0..200 {
            raw.write(&pings);
        }
        stage.is_unharmed();
    });
}

#[test]
fn a_clean_close_never_ends_in_a_reset() {
    bounded(|| {
        let mut stage = Stage::new();
        for turn in 0..100 {
            let mut raw = Raw::open(stage.server.address(), "/");
            let mut last = Frame::text("last words").masked().encode();
            last.extend(Frame::close(1000, "").masked().encode());
            // RFC 6455 5.5.1: no data may follow a Close. It must not disturb the end either.
            last.extend(vec![0; turn * 1000]);
            raw.write(last);
            assert_eq!(raw.frame(), Frame::text("last words"));
            assert_eq!(raw.frame().code_and_reason(), (1000, ""));
            assert_eq!(raw.next_frame(), None);
        }
        stage.is_unharmed();
    });
}

#[test]
fn a_client_of_ours_tells_a_server_that_breaks_the_rules() {
    bounded(|| {
        let listener = ws_tests::RawListener::new();
        for (bytes, code) in [
            (Frame::text("masked").masked().encode(), CloseCode::PROTOCOL_ERROR),
            (vec![0x82, 0x7F, 0x40, 0, 0, 0, 0, 0, 0, 0], CloseCode::MESSAGE_TOO_BIG),
            (Frame::new(Frame::TEXT, [0xFF]).encode(), CloseCode::INVALID_FRAME_PAYLOAD_DATA),
        ] {
            let url = listener.url("/");
            let client = std::thread::spawn(move || {
                let mut ws = ws_std::connect(&url).unwrap();
                let error = ws.receive().unwrap_err();
                assert!(matches!(error, ws_std::Error::Protocol(_)), "{error}");
                assert!(!ws.close_info().unwrap().was_clean);
            });
            let (mut raw, _) = listener.open();
            raw.write(bytes);
            assert_eq!(raw.frame().code_and_reason().0, code.get());
            assert_eq!(raw.next_frame(), None);
            client.join().unwrap();
        }
    });
}
