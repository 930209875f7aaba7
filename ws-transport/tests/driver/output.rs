//! Accounting of the output, and output that can never be sent.

use bytes::Buf as _;
use ws_core::{
    Cause, CloseCode, Config, PreparedMessage, Role, TimeoutKind, Transmit,
    testing::{Frame, drained, wire},
};
use ws_transport::{Backlog, Driver, Error, Network, Outgoing, OutgoingKind, OutgoingPayload};

use crate::support::{End, Outcome, decrypted, millis, sessions};

/// Maximum number of bytes that a driver encrypts at once.
const BATCH: usize = 256 << 10;

fn large() -> Config {
    let mut config = Config::default();
    config.write_buffer_size = usize::MAX;
    config
}

#[test]
fn output_that_tls_can_no_longer_send_is_dropped_at_once() {
    let (_, session) = sessions();
    let mut server = End::new(Role::Server, Config::default(), Some(session));
    server.driver.connection.send("a reply that was queued before").unwrap();
    server.driver.connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    server.inbox.extend([0; 4096]);
    assert!(matches!(server.turn(), Outcome::Ended(Err(Error::Tls(_)))));
    assert!(!server.outbox.is_empty(), "the peer learns why by an alert");
    assert!(!server.driver.wants_write() && server.driver.connection.buffered() == 0);
}

#[test]
fn output_of_a_broken_stream_is_dropped_and_its_input_still_read() {
    for secure in [false, true] {
        let (client, session) = sessions();
        let mut server = End::new(Role::Server, Config::default(), secure.then_some(session));
        server.driver.connection.send(vec![1; 50_000]).unwrap();
        server.is_broken = true;
        assert!(matches!(server.turn(), Outcome::Waits { read: true, .. }));
        assert_eq!((server.driver.buffered(), server.driver.wants_write()), (0, false));
        // The peer had already sent its Close.
        let close = Frame::close(1000, "").encode_for(Role::Server);
        if secure {
            let (mut client, mut sealed) = (client, Transmit::default());
            client.encrypt_all(&mut &close[..], &mut sealed);
            server.inbox.extend(drained(&mut sealed));
        } else {
            server.inbox.extend(close);
        }
        assert!(matches!(server.turn(), Outcome::Ended(Ok(()))), "secure: {secure}");
        assert!(!server.is_shut_down, "nothing is left to shut down");
    }
}

#[test]
fn a_full_socket_is_waited_for_and_given_up_after_the_write_timeout() {
    for secure in [false, true] {
        let (_, session) = sessions();
        let mut server = End::new(Role::Server, Config::default(), secure.then_some(session));
        server.room = 1000;
        server.driver.connection.send(vec![1; 50_000]).unwrap();
        let mut ended = None;
        while ended.is_none() {
            match server.turn() {
                Outcome::Waits { until, .. } => server.now = until.expect("a deadline"),
                Outcome::Ended(result) => ended = Some(result),
            }
        }
        let Some(Err(Error::Disconnected(close_info))) = ended else { panic!("{ended:?}") };
        assert_eq!(close_info.cause, Cause::Timeout(TimeoutKind::Write));
        assert!(server.now <= millis(31_000), "{}", server.now);
        assert_eq!(server.outbox.len(), 1000);
    }
}

#[test]
fn tls_seals_one_batch_at_a_time_and_counts_it_as_written_when_it_was() {
    let (mut client, session) = sessions();
    let mut server = End::new(Role::Server, large(), Some(session));
    server.room = 0;
    let message = vec![7; 3 << 20];
    server.driver.connection.send(&message[..]).unwrap();
    let queued = server.driver.connection.total_queued();
    server.turn();
    assert!(server.taken() <= BATCH + BATCH / 100, "{} bytes are sealed", server.taken());
    let mut last = 0;
    while server.driver.connection.buffered() > 0 {
        server.room = 10_000;
        server.turn();
        let written = server.driver.connection.total_written();
        // The count grows with each piece, and never exceeds the written ciphertext.
        assert!(written > last && written <= server.outbox.len() as u64);
        last = written;
    }
    assert_eq!((server.taken(), last), (0, queued));
    let plain = decrypted(&mut client, &server.outbox);
    assert_eq!(wire::frames(&plain).unwrap(), [Frame::binary(message)]);
}

#[test]
fn the_last_byte_of_plaintext_counts_only_with_the_last_byte_of_its_batch() {
    let (_, session) = sessions();
    let mut server = End::new(Role::Server, Config::default(), Some(session));
    server.room = 0;
    server.driver.connection.ping(b"").unwrap();
    server.turn();
    server.room = server.taken() - 1;
    server.turn();
    assert!(server.driver.connection.buffered() > 0);
    server.room = 1;
    server.turn();
    assert_eq!(server.driver.connection.buffered(), 0);
}

fn post(driver: &mut Driver, payload: &PreparedMessage, kind: OutgoingKind) {
    let backlog = &Backlog::default;
    let outgoing = Outgoing { payload: OutgoingPayload::Prepared(payload), backlog, kind };
    driver.post(outgoing, Network::Refuses).unwrap();
}

/// Returns the texts of the messages that an end has written.
fn texts(end: &End) -> Vec<String> {
    let frames = wire::frames(&end.outbox).unwrap().into_iter();
    frames
        .filter(|frame| frame.opcode == wire::TEXT)
        .map(|frame| String::from_utf8(frame.payload).unwrap())
        .collect()
}

#[test]
fn a_reply_does_not_overtake_what_was_posted_before() {
    let mut server = End::server(Config::default());
    for (number, kind) in [(1, OutgoingKind::Send), (2, OutgoingKind::Send), (3, OutgoingKind::Reply)] {
        post(&mut server.driver, &PreparedMessage::new(number.to_string()), kind);
    }
    server.turn();
    assert_eq!(texts(&server), ["1", "2", "3"]);
}

#[test]
fn everything_that_was_posted_is_written_before_a_close() {
    let mut server = End::server(Config::default());
    let payload = "x".repeat(1000);
    for _ in 0..100 {
        post(&mut server.driver, &PreparedMessage::new(&*payload), OutgoingKind::Send);
    }
    server.driver.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    assert!(server.driver.connection.buffered() > 100_000, "it counts as not written");
    server.turn();
    assert_eq!(texts(&server).len(), 100);
    assert_eq!(wire::frames(&server.outbox).unwrap().pop(), Some(Frame::close(1000, "")));
}

#[test]
fn a_message_in_chunks_keeps_posted_messages_waiting_and_drops_none() {
    let mut server = End::server(Config::default());
    server.driver.connection.send_chunk(ws_core::Chunk::new("begun")).unwrap();
    post(&mut server.driver, &PreparedMessage::new("posted"), OutgoingKind::Send);
    assert!(matches!(server.turn(), Outcome::Waits { .. }), "and the adapter does not spin");
    server.driver.connection.send_chunk(ws_core::Chunk::last(" and ended")).unwrap();
    server.turn();
    assert_eq!(texts(&server).last().map(|text| &**text), Some("posted"));
}

#[test]
fn a_message_for_many_is_taken_and_reported_like_everything_else() {
    let mut server = End::server(Config::default());
    let frame = server.driver.take_prepared(&PreparedMessage::new("to all")).unwrap();
    assert_eq!(server.driver.buffered(), frame.remaining());
    server.driver.written(frame.remaining());
    assert_eq!(server.driver.buffered(), 0);
}
