//! The division of a stream into reads has no effect on the received messages.

use std::thread;

use ws_std::Server;
use ws_tests::{
    Raw, RawListener, Running, bounded, echo,
    wire::{self, Frame},
};

/// Frames with all header lengths, short enough to be split at every byte.
fn frames() -> [Frame; 5] {
    let long = "x".repeat(126);
    [
        Frame::text("one").unfinished(),
        Frame::new(Frame::PING, "in between"),
        Frame::new(Frame::CONTINUATION, " and the same"),
        Frame::text(&long),
        Frame::close(1000, "done"),
    ]
}

fn encode(frames: impl IntoIterator<Item = Frame>) -> Vec<u8> {
    frames.into_iter().flat_map(|frame| frame.encode()).collect()
}

/// Returns a request and the frames that a hasty client sends right behind it.
fn client_stream() -> Vec<u8> {
    let mut stream = wire::request("/", &[]).into_bytes();
    stream.extend(encode(frames().map(Frame::masked)));
    stream
}

fn expect_answers(raw: &mut Raw) {
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    // The pong may precede the echo of the message that the ping interrupts.
    let mut answers = [raw.frame(), raw.frame(), raw.frame(), raw.frame()];
    answers.sort_by_key(|answer| answer.opcode != Frame::PONG);
    let [_, ping, _, long, _] = frames();
    assert_eq!(answers[0], Frame { opcode: Frame::PONG, ..ping });
    assert_eq!(answers[1], Frame::text("one and the same"));
    assert_eq!(answers[2], long);
    assert_eq!(answers[3].code_and_reason(), (1000, ""));
    assert_eq!(raw.next_frame(), None);
}

#[test]
fn a_request_and_frames_glued_to_it_may_be_cut_anywhere() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let stream = client_stream();
        for cut in 0..=stream.len() {
            let mut raw = Raw::connect(server.address());
            raw.write_and_see_read(&stream[..cut]);
            raw.write(&stream[cut..]);
            expect_answers(&mut raw);
        }
    });
}

#[test]
fn a_request_and_frames_may_come_byte_by_byte() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let mut raw = Raw::connect(server.address());
        for byte in client_stream() {
            raw.write_and_see_read([byte]);
        }
        expect_answers(&mut raw);
    });
}

/// Runs a client that receives to the end, and returns the received messages.
fn serve(send: impl FnOnce(&Raw, Vec<u8>)) {
    let listener = RawListener::new();
    let url = listener.url("/");
    let client = thread::spawn(move || {
        let mut ws = ws_std::connect(&url).unwrap();
        let mut received = Vec::new();
        while let Some(message) = ws.receive().unwrap() {
            received.push(message.to_string());
        }
        (received, ws.close_info().unwrap())
    });
    let mut raw = listener.accept();
    let mut stream = wire::response(&raw.head()).into_bytes();
    stream.extend(encode(frames()));
    send(&raw, stream);
    let (pong, close) = (raw.frame(), raw.frame());
    assert_eq!((pong.opcode, &*pong.payload), (Frame::PONG, &b"in between"[..]));
    assert!(pong.mask.is_some());
    assert_eq!(close.code_and_reason(), (1000, ""));
    drop(raw);
    let (received, close_info) = client.join().unwrap();
    assert_eq!(received, ["one and the same", &"x".repeat(126)]);
    assert!(close_info.was_clean, "{close_info}");
    assert_eq!(close_info.reason, "done");
}

#[test]
fn a_response_and_frames_glued_to_it_may_be_cut_anywhere() {
    bounded(|| {
        let mut cut = 0;
        let mut len = usize::MAX;
        while cut <= len {
            serve(|raw, stream| {
                len = stream.len();
                raw.write_and_see_read(&stream[..cut]);
                raw.write(&stream[cut..]);
            });
            cut += 1;
        }
    });
}

#[test]
fn a_response_and_frames_may_come_byte_by_byte() {
    bounded(|| {
        serve(|raw, stream| {
            for byte in stream {
                raw.write_and_see_read([byte]);
            }
        });
    });
}
