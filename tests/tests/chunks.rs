//! Messages that are received and sent in chunks.

use ws_std::{Chunk, Client, CloseCode, Delivery, Error, Route, Server};
use ws_tests::{Raw, Running, bounded, hand_over, wire::Frame};

/// Returns a server's end that receives in chunks, and a raw client.
fn in_chunks() -> (Running, ws_tests::Handed, Raw) {
    let (route, take) = hand_over();
    let route = route.configure(|config| {
        config.delivery = Delivery::Chunks;
        config.max_message_size = 1000;
    });
    let server = Running::start(Server::new().mount("/", route));
    let raw = Raw::open(server.address(), "/");
    (server, take(), raw)
}

#[test]
fn a_chunk_comes_before_the_rest_of_its_message_is_there() {
    bounded(|| {
        let (_server, mut handed, raw) = in_chunks();
        let frame = Frame::text("Grüße").masked().encode();
        // Six bytes of header, then "Gr" and the first half of "ü".
        raw.write(&frame[..9]);
        assert_eq!(handed.ws.receive_chunk().unwrap(), Some(Chunk::new("Gr")));
        let mut text = String::new();
        let mut receive_up_to = |end: &str| {
            while text != end {
                let chunk = handed.ws.receive_chunk().unwrap().unwrap();
                text.push_str(chunk.payload.as_text().unwrap());
                assert!(end.starts_with(&text), "{text}");
                assert!(!chunk.last || end == "üße");
            }
        };
        raw.write(&frame[9..11]);
        receive_up_to("ü");
        raw.write(&frame[11..12]);
        receive_up_to("üß");
        raw.write(&frame[12..]);
        receive_up_to("üße");
    });
}

#[test]
fn receive_joins_chunks_to_messages() {
    bounded(|| {
        let (_server, mut handed, raw) = in_chunks();
        raw.send(Frame::text("one ").unfinished());
        raw.send(Frame::new(Frame::PING, ""));
        raw.send(Frame::new(Frame::CONTINUATION, "message"));
        raw.send(Frame::new(Frame::BINARY, [1; 1000]));
        raw.send(Frame::text(""));
        assert_eq!(handed.ws.receive().unwrap().unwrap(), "one message");
        assert_eq!(handed.ws.receive().unwrap().unwrap(), [1; 1000][..]);
        assert_eq!(handed.ws.receive().unwrap().unwrap(), "");
    });
}

#[test]
fn the_limit_of_a_message_holds_for_its_chunks() {
    bounded(|| {
        let (_server, mut handed, mut raw) = in_chunks();
        raw.send(Frame::new(Frame::BINARY, [1; 600]).unfinished());
        raw.send(Frame::new(Frame::CONTINUATION, [1; 401]));
        let error = handed.ws.receive().unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{error}");
        assert_eq!(raw.frame().code_and_reason().0, 1009);
    });
}

#[test]
fn a_message_that_was_begun_is_dropped_when_the_peer_closes() {
    bounded(|| {
        let (_server, mut handed, raw) = in_chunks();
        raw.send(Frame::text("never to be fin").unfinished());
        raw.send(Frame::close(1001, "going away"));
        assert!(handed.ws.receive().unwrap().is_none());
        assert_eq!(handed.ws.close_info().unwrap().code, CloseCode::GOING_AWAY);
    });
}

#[test]
fn each_chunk_that_is_sent_is_a_frame() {
    bounded(|| {
        let (_server, handed, mut raw) = in_chunks();
        for chunk in [Chunk::new("a"), Chunk::new(""), Chunk::last("b")] {
            handed.ws.send_chunk(chunk).unwrap();
        }
        assert_eq!(raw.frame(), Frame::text("a").unfinished());
        assert_eq!(raw.frame(), Frame::new(Frame::CONTINUATION, "").unfinished());
        assert_eq!(raw.frame(), Frame::new(Frame::CONTINUATION, "b"));
    });
}

#[test]
fn chunks_pass_through_from_end_to_end() {
    bounded(|| {
        let route = Route::new(|_, mut ws| {
            while let Some(chunk) = ws.receive_chunk()? {
                ws.send_chunk(chunk)?;
            }
            Ok(())
        });
        let route = route.configure(|config| config.delivery = Delivery::Chunks);
        let server = Running::start(Server::new().mount("/", route));
        let client = Client::new(&server.url("/"));
        let mut ws = client.configure(|config| config.max_fragments = usize::MAX).connect().unwrap();
        let text = "Grüße, 日本語 👋 ".repeat(1000);
        for _ in 0..10 {
            ws.send(&text).unwrap();
            assert_eq!(ws.receive().unwrap().unwrap(), *text);
        }
    });
}
