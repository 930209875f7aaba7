//! Programs over real sockets, against peers of all kinds. The driver in the crate documentation is tested here, and the
//! event loops in `loops`: the example, and the fast one of the benches.

#[path = "../../examples/driver.rs"]
#[allow(dead_code, reason = "its `main` is for the command line")]
mod driver;
#[path = "../../examples/event_loop.rs"]
#[allow(dead_code, reason = "its `main` is for the command line")]
mod event_loop;
#[path = "../../../benches/src/bin/event_loop.rs"]
#[allow(dead_code, reason = "its `main` is for the command line")]
mod fast_event_loop;
mod loops;
mod peer;

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    time::{Duration, Instant},
};

use ws_core::{
    Cause, CloseCode, CloseInfo, Keepalive, ProtocolError, TimeoutKind,
    testing::{Frame, wire},
};

use self::peer::{Server, answers, expect_refusal, masked, read_to_end, request};

/// Longer than any test takes. Only a driver that hangs reaches this limit.
const LONG: Duration = Duration::from_secs(30);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn cause(close_info: Option<CloseInfo>) -> Option<Cause> {
    close_info.map(|close_info| close_info.cause)
}

#[test]
fn a_slow_reader_gets_the_answers_to_a_large_and_a_short_message() {
    let server = Server::start(|_| {}, Some(16 << 10));
    let mut client = server.connect(Some(16 << 10));
    let messages = [Frame::binary(vec![7; 1 << 20]), Frame::text("ten bytes!"), Frame::close(1000, "")];
    let mut writer = client.try_clone().unwrap();
    let bytes = masked(&messages);
    let sender = std::thread::spawn(move || writer.write_all(&bytes).unwrap());
    let mut received = Vec::new();
    let mut piece = [0; 1000];
    loop {
        match client.read(&mut piece).unwrap() {
            0 => break,
            len => received.extend_from_slice(&piece[..len]),
        }
    }
    sender.join().unwrap();
    assert!(answers(&received) == messages);
    drop(client);
    assert!(server.close_info().unwrap().was_clean);
}

#[test]
fn a_peer_that_reads_only_after_sending_everything_gets_all_answers() {
    let server = Server::start(|_| {}, None);
    let mut client = server.connect(None);
    let mut messages: Vec<_> = (0..500).map(|number: u32| Frame::binary(vec![number as u8; 1000])).collect();
    messages.push(Frame::close(1000, ""));
    for message in &messages {
        client.write_all(&masked([message])).unwrap();
    }
    assert!(answers(&read_to_end(&mut client)) == messages);
    drop(client);
    assert!(server.close_info().unwrap().was_clean);
}

#[test]
fn messages_and_a_close_in_one_write_are_answered_in_small_buffers() {
    let server = Server::start(|_| {}, Some(8 << 10));
    let mut client = server.connect(Some(8 << 10));
    let mut messages: Vec<_> = (0..50).map(|number: u8| Frame::binary(vec![number; 1000])).collect();
    messages.push(Frame::close(1000, ""));
    client.write_all(&masked(&messages)).unwrap();
    // It starts to read when the first answer waits, and not before.
    peer::wait_until_readable(&client);
    assert!(answers(&read_to_end(&mut client)) == messages);
    drop(client);
    assert!(server.close_info().unwrap().was_clean);
}

#[test]
fn a_peer_that_half_closes_gets_all_answers_and_no_close() {
    let server = Server::start(|config| config.write_buffer_size = 1000, Some(8 << 10));
    let mut client = server.connect(Some(8 << 10));
    let messages: Vec<_> = (0..50).map(|number: u8| Frame::binary(vec![number; 1000])).collect();
    client.write_all(&masked(&messages)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(answers(&read_to_end(&mut client)) == messages);
    assert_eq!(cause(server.close_info()), Some(Cause::Eof));
}

#[test]
fn a_silent_peer_is_declared_dead_within_interval_plus_timeout() {
    let keepalive = Keepalive { interval: millis(100), timeout: millis(150), max_missed: Some(1) };
    let server = Server::start(|config| config.keepalive = Some(keepalive), None);
    let began = Instant::now();
    let client = server.connect(None);
    assert_eq!(cause(server.close_info()), Some(Cause::Timeout(TimeoutKind::Keepalive)));
    let took = began.elapsed();
    // A busy machine may be late, but it is never early.
    assert!(took >= millis(250) && took < millis(1000), "{took:?}");
    drop(client);
}

#[test]
fn a_peer_that_answers_pings_is_kept() {
    let keepalive = Keepalive { interval: millis(20), timeout: millis(500), max_missed: Some(1) };
    let server = Server::start(|config| config.keepalive = Some(keepalive), None);
    let mut client = server.connect(None);
    let mut received = Vec::new();
    for _ in 0..10 {
        let ping = peer::next_frame(&mut client, &mut received);
        assert_eq!(ping.opcode, wire::PING);
        client.write_all(&masked([&Frame::pong(ping.payload)])).unwrap();
    }
    client.write_all(&masked([&Frame::close(1000, "")])).unwrap();
    read_to_end(&mut client);
    drop(client);
    assert!(server.close_info().unwrap().was_clean);
}

#[test]
fn a_peer_that_never_reads_is_dropped_after_the_write_timeout() {
    let server = Server::start(
        |config| {
            config.write_timeout = Some(millis(300));
            config.keepalive = None;
        },
        Some(8 << 10),
    );
    let client = server.connect(Some(8 << 10));
    let began = Instant::now();
    let mut writer = client.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        // It fails when the server gives up.
        let message = masked([&Frame::binary(vec![7; 100_000])]);
        while writer.write_all(&message).is_ok() {}
    });
    assert_eq!(cause(server.close_info()), Some(Cause::Timeout(TimeoutKind::Write)));
    let took = began.elapsed();
    assert!(took >= millis(300) && took < millis(1500), "{took:?}");
    sender.join().unwrap();
    drop(client);
}

#[test]
fn a_closing_peer_that_never_reads_is_dropped_after_the_close_timeout() {
    let server = Server::start(
        |config| {
            config.close_timeout = millis(200);
            config.keepalive = None;
        },
        Some(8 << 10),
    );
    let mut client = server.connect(Some(8 << 10));
    let began = Instant::now();
    // The answer is larger than the buffers of both sockets, but not so large that receiving pauses before the Close.
    client.write_all(&masked([&Frame::binary(vec![7; 60_000]), &Frame::close(1000, "")])).unwrap();
    assert_eq!(server.close_info().map(|close_info| close_info.code), Some(CloseCode::NORMAL_CLOSURE));
    assert!(began.elapsed() >= millis(200), "the close timeout is waited for");
    assert!(began.elapsed() < millis(1500), "{:?}", began.elapsed());
    drop(client);
}

#[test]
fn a_hostile_peer_reads_the_close_and_is_never_reset() {
    for round in 0..50 {
        let server = Server::start(|_| {}, None);
        let mut client = server.connect(None);
        expect_refusal(&mut client, round);
        drop(client);
        let broken = Cause::Protocol(ProtocolError::ReservedOpcode(11));
        assert_eq!(cause(server.close_info()), Some(broken));
    }
}

#[test]
fn a_peer_that_resets_the_connection_ends_the_thread() {
    let server = Server::start(|_| {}, Some(8 << 10));
    let mut client = server.connect(Some(8 << 10));
    client.write_all(&masked([&Frame::binary(vec![7; 1 << 20])])).unwrap();
    // Closing a socket with unread input resets the connection.
    peer::wait_until_readable(&client);
    drop(client);
    let close_info = server.close_info().unwrap();
    assert_eq!((close_info.code, close_info.cause), (CloseCode::ABNORMAL_CLOSURE, Cause::Eof));
}

#[test]
fn messages_behind_the_request_in_the_same_write_are_answered() {
    let server = Server::start(|_| {}, None);
    let messages = [Frame::text("early"), Frame::close(1000, "")];
    let mut client = server.connect_raw(None);
    client.write_all(&[request().into_bytes(), masked(&messages)].concat()).unwrap();
    let received = read_to_end(&mut client);
    let head = received.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(answers(&received[head..]), messages);
    drop(client);
    assert!(server.close_info().unwrap().was_clean);
}

#[test]
fn the_open_timeout_ends_the_wait_for_a_request() {
    let server = Server::start_with(|limits| limits.open_timeout = Some(millis(100)));
    let began = Instant::now();
    let mut client = server.connect_raw(None);
    client.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    assert!(read_to_end(&mut client).starts_with(b"HTTP/1.1 408"));
    assert_eq!(server.close_info(), None);
    assert!(began.elapsed() < millis(1500));
}
