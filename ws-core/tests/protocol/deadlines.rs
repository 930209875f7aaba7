//! All deadlines except that of keepalive, under virtual time: stalled messages, closing, opening.

use std::{sync::Arc, time::Duration};

use ws_core::{
    Cause, CloseCode, Config, Connection, HandshakeConfig, HandshakeError, Role, State, TimeoutKind,
    Timestamp, client, server,
};

use crate::support::{
    ROLES, SEED, at, at_millis, error_of, events, hear, limits, open_with, secs, sent, text,
    wire::{self, Frame},
    written,
};

/// Returns a connection with a stall timeout of 30 s and without pings.
fn open(role: Role) -> Connection {
    open_with(role, |config| config.keepalive = None)
}

/// Returns beginnings that have to be continued.
fn beginnings(role: Role) -> Vec<(&'static str, Vec<u8>)> {
    let whole = Frame::text("Hello").encode_for(role);
    let ping = Frame::ping("Hello").encode_for(role);
    vec![
        ("one byte of a header", whole[..1].to_vec()),
        ("a header", wire::header_for(role, true, wire::BINARY, 100)),
        ("part of a payload", whole[..whole.len() - 1].to_vec()),
        ("part of a ping", ping[..ping.len() - 1].to_vec()),
        ("a fragment", Frame::text("Hel").unfinished().encode_for(role)),
        ("an empty fragment", Frame::text("").unfinished().encode_for(role)),
    ]
}

#[test]
fn a_message_that_is_begun_and_not_continued_fails_with_1008() {
    for role in ROLES {
        for (what, beginning) in beginnings(role) {
            let mut connection = open(role);
            assert_eq!(connection.poll_timeout(), None);
            connection.handle_timeout(at(1000));
            events(&mut connection, &beginning);
            connection.handle_timeout(at(1001));
            assert_eq!(connection.poll_timeout(), Some(at(1031)), "{what}");
            connection.handle_timeout(at_millis(1_030_999));
            assert_eq!(connection.state(), State::Open, "{what}");
            connection.handle_timeout(at(1031));
            assert_eq!(connection.close_info().unwrap().cause, Cause::Timeout(TimeoutKind::Stall), "{what}");
            let frames = sent(&mut connection);
            assert_eq!((frames.len(), &frames[0].payload[..2]), (1, &1008_u16.to_be_bytes()[..]));
            assert!(connection.wants_shutdown());
            assert_eq!(hear(&mut connection, &[Frame::text("late")]), []);
        }
    }
}

#[test]
fn a_message_may_take_for_ever_as_long_as_it_makes_progress() {
    for role in ROLES {
        let stream = wire::stream(role, &[Frame::text("Hel").unfinished(), Frame::continuation("lo")]);
        let mut connection = open(role);
        let mut received = Vec::new();
        for (number, byte) in stream.iter().enumerate() {
            received.extend(events(&mut connection, &[*byte]));
            connection.handle_timeout(at(29 * (number as u64 + 1)));
        }
        assert_eq!(received, [text("Hello")]);
        assert_eq!(connection.poll_timeout(), None, "nothing is begun any more");
    }
}

#[test]
fn control_frames_do_not_keep_a_message_alive() {
    for role in ROLES {
        for (what, beginning) in beginnings(role) {
            let can_go_on = what.contains("fragment");
            if !can_go_on {
                continue;
            }
            let mut connection = open(role);
            events(&mut connection, &beginning);
            connection.handle_timeout(at(0));
            for seconds in [10, 20] {
                // A pong in two reads, whole pings, and an answer that is written.
                let pong = Frame::pong("").encode_for(role);
                let (first, rest) = pong.split_at(1);
                events(&mut connection, first);
                connection.handle_timeout(at(seconds));
                events(&mut connection, rest);
                events(&mut connection, &Frame::ping("alive").encode_for(role));
                connection.handle_timeout(at(seconds + 1));
                written(&mut connection);
                assert_eq!(connection.poll_timeout(), Some(at(30)), "{what}");
            }
            connection.handle_timeout(at(30));
            assert_eq!(connection.close_info().unwrap().cause, Cause::Timeout(TimeoutKind::Stall), "{what}");
        }
    }
}

#[test]
fn each_fragment_of_a_message_keeps_it_alive() {
    for role in ROLES {
        let mut connection = open(role);
        events(&mut connection, &Frame::text("").unfinished().encode_for(role));
        for number in 1..10 {
            connection.handle_timeout(at(29 * number));
            events(&mut connection, &Frame::continuation("").unfinished().encode_for(role));
        }
        connection.handle_timeout(at(29 * 10));
        assert_eq!(hear(&mut connection, &[Frame::continuation("ended")]), [text("ended")]);
    }
}

#[test]
fn without_a_stall_timeout_a_message_may_pause_for_ever() {
    for role in ROLES {
        for (what, beginning) in beginnings(role) {
            let mut connection = open_with(role, |config| {
                config.keepalive = None;
                config.stall_timeout = None;
            });
            events(&mut connection, &beginning);
            connection.handle_timeout(at(1));
            assert_eq!(connection.poll_timeout(), None, "{what}");
            connection.handle_timeout(at(1_000_000));
            assert_eq!(connection.state(), State::Open, "{what}");
        }
    }
}

/// Returns a connection that has received a beginning and does not read, because replies wait to be written.
fn backpressured(role: Role, beginning: &[u8]) -> Connection {
    let mut connection = open_with(role, |config| {
        config.keepalive = None;
        config.write_timeout = None;
    });
    events(&mut connection, beginning);
    connection.handle_timeout(at(1));
    connection.reply(vec![0; 100_000]).unwrap();
    assert!(!connection.wants_read());
    connection
}

#[test]
fn a_message_does_not_stall_while_this_end_does_not_read() {
    for role in ROLES {
        for (what, beginning) in beginnings(role) {
            let mut connection = backpressured(role, &beginning);
            assert_eq!(connection.poll_timeout(), None, "{what}");
            connection.handle_timeout(at(1000));
            assert_eq!(connection.state(), State::Open, "{what}");
        }
    }
}

#[test]
fn after_this_end_did_not_read_the_peer_has_the_whole_stall_timeout_again() {
    for role in ROLES {
        let mut connection = backpressured(role, &Frame::text("begun").unfinished().encode_for(role));
        // The socket accepts bytes again: the driver wakes, reports the time, and writes.
        connection.handle_timeout(at(1000));
        written(&mut connection);
        assert!(connection.wants_read());
        assert_eq!(connection.poll_timeout(), Some(at(1030)));
        connection.handle_timeout(at(1000));
        assert_eq!(connection.state(), State::Open);
        assert_eq!(hear(&mut connection, &[Frame::continuation("ended")]), [text("begunended")]);
    }
}

#[test]
fn the_close_timeout_bounds_the_wait_for_a_peers_close() {
    for role in ROLES {
        let mut connection = open(role);
        connection.handle_timeout(at(100));
        connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        // The connection needs the time from which the deadline counts.
        assert!(connection.poll_timeout().is_some_and(|due| due <= at(105)));
        connection.handle_timeout(at(100));
        written(&mut connection);
        // The wait for the peer's Close begins when this end's Close is written.
        assert_eq!(connection.poll_timeout(), Some(at(100)));
        connection.handle_timeout(at(100));
        assert_eq!(connection.poll_timeout(), Some(at(105)));
        connection.handle_timeout(at_millis(104_999));
        assert_eq!(connection.state(), State::Closing);
        connection.handle_timeout(at(105));
        assert_eq!(connection.state(), State::Closed);
        assert_eq!(connection.poll_timeout(), None);
        assert_eq!(connection.close_info().unwrap().cause, Cause::Timeout(TimeoutKind::Close));
    }
}

#[test]
fn the_close_timeout_is_not_reset_by_what_the_peer_sends() {
    for role in ROLES {
        let mut connection = open(role);
        connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        written(&mut connection);
        for second in 0..5 {
            assert_eq!(hear(&mut connection, &[Frame::text("more")]), [text("more")]);
            connection.handle_timeout(at(second));
            assert!(!connection.is_finished());
        }
        connection.handle_timeout(at(5));
        assert!(connection.is_finished());
    }
}

#[test]
fn a_peer_that_does_not_read_cannot_keep_a_connection_from_ending() {
    let ends: [fn(&mut Connection); 4] = [
        |connection| connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap(),
        |connection| connection.fail(CloseCode::NORMAL_CLOSURE, "").unwrap(),
        |connection| drop(hear(connection, &[Frame::close(1000, "")])),
        |connection| assert!(error_of(connection, &[Frame::continuation("")]).is_some()),
    ];
    for role in ROLES {
        for end in ends {
            let mut connection = open(role);
            connection.send(vec![0; 1_000_000]).unwrap();
            end(&mut connection);
            connection.handle_timeout(at(10));
            assert!(!connection.is_finished());
            connection.handle_timeout(at(15));
            assert!(connection.is_finished(), "though {} bytes are not written", connection.buffered());
        }
    }
}

#[test]
fn failing_a_closing_connection_does_not_give_it_more_time() {
    for role in ROLES {
        let mut connection = open(role);
        connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        connection.handle_timeout(at(0));
        connection.handle_timeout(at(4));
        connection.fail(CloseCode::POLICY_VIOLATION, "").unwrap();
        assert_eq!(connection.poll_timeout(), Some(at(5)));
    }
}

#[test]
fn a_close_timeout_of_zero_waits_for_nothing() {
    for role in ROLES {
        let mut connection = open_with(role, |config| config.close_timeout = Duration::ZERO);
        connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        assert!(!connection.is_finished(), "time has to be told first");
        connection.handle_timeout(Timestamp::ZERO);
        assert_eq!(sent(&mut connection).len(), 1, "the Close can still be written");
        for _ in 0..2 {
            assert_eq!(connection.poll_timeout(), Some(Timestamp::ZERO));
            connection.handle_timeout(Timestamp::ZERO);
        }
        assert!(connection.is_finished());
    }
}

fn server_handshake(limits: &HandshakeConfig, now: Timestamp) -> server::Handshake {
    server::Handshake::new(limits, now)
}

fn client_handshake(limits: &HandshakeConfig, now: Timestamp) -> client::Handshake {
    let request = client::Request::new("ws://localhost/".parse().unwrap());
    client::Handshake::new(&request, limits, Arc::default(), SEED, now).unwrap()
}

#[test]
fn a_server_waits_ten_seconds_for_a_request_despite_progress() {
    let mut handshake = server_handshake(&limits(|_| {}), at(100));
    for (second, byte) in (100..110).zip(*b"GET / HTTP") {
        assert_eq!(handshake.poll_timeout(), Some(at(110)));
        assert!(handshake.receive(&mut &mut [byte][..]).unwrap().is_none());
        assert_eq!(handshake.handle_timeout(at(second)), Ok(()));
    }
    assert_eq!(handshake.handle_timeout(at_millis(109_999)), Ok(()));
    assert_eq!(handshake.handle_timeout(at(110)), Err(HandshakeError::Timeout));
    assert_eq!(HandshakeError::Timeout.status(), 408);
}

#[test]
fn a_client_waits_ten_seconds_for_a_response_despite_progress() {
    let mut handshake = client_handshake(&limits(|_| {}), at(100));
    for (second, byte) in (100..110).zip(*b"HTTP/1.1 1") {
        assert_eq!(handshake.poll_timeout(), Some(at(110)));
        assert!(handshake.receive(&mut &mut [byte][..]).unwrap().is_none());
        assert_eq!(handshake.handle_timeout(at(second)), Ok(()));
    }
    assert_eq!(handshake.handle_timeout(at_millis(109_999)), Ok(()));
    assert_eq!(handshake.handle_timeout(at(110)), Err(HandshakeError::Timeout));
}

#[test]
fn interim_responses_do_not_give_a_server_more_time() {
    let mut handshake = client_handshake(&limits(|_| {}), at(0));
    for second in [3, 6, 9] {
        let mut interim = *b"HTTP/1.1 102 Processing\r\n\r\n";
        assert!(handshake.receive(&mut &mut interim[..]).unwrap().is_none());
        assert_eq!(handshake.handle_timeout(at(second)), Ok(()));
    }
    assert_eq!(handshake.handle_timeout(at(10)), Err(HandshakeError::Timeout));
}

/// Refusals that need more bytes, or the end of the stream.
const UNENDED: [&[u8]; 4] = [
    b"HTTP/1.1 503 Service Unavailable\r\n\r\nlater",
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\nlater",
    b"HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nlater",
    b"HTTP/1.0 503 Service Unavailable\r\nConnection: keep-alive\r\n\r\nlater",
];

fn assert_is_refusal(error: &HandshakeError) {
    let HandshakeError::Refused(response) = error else { panic!("{error:?}") };
    assert_eq!((response.status(), response.body_bytes()), (503, &b"later"[..]));
}

#[test]
fn a_refusal_whose_body_pauses_for_a_second_is_reported_without_its_end() {
    for patient in [true, false] {
        for refusal in UNENDED {
            let limits = limits(|limits| limits.open_timeout = limits.open_timeout.filter(|_| !patient));
            let mut handshake = client_handshake(&limits, at(100));
            assert!(handshake.receive(&mut &mut refusal.to_vec()[..]).unwrap().is_none());
            assert_eq!(handshake.poll_timeout(), Some(at(100)), "the pause is counted from a time told now");
            assert_eq!(handshake.handle_timeout(at(103)), Ok(()));
            assert_eq!(handshake.poll_timeout(), Some(at(104)));
            assert_eq!(handshake.handle_timeout(at_millis(103_999)), Ok(()));
            assert_is_refusal(&handshake.handle_timeout(at(104)).unwrap_err());
        }
    }
}

#[test]
fn a_body_of_a_refusal_that_makes_progress_is_read_until_the_open_timeout() {
    let mut handshake = client_handshake(&limits(|_| {}), at(0));
    assert!(handshake.receive(&mut &mut UNENDED[0][..].to_vec()[..]).unwrap().is_none());
    for half in 1..20 {
        assert_eq!(handshake.handle_timeout(at_millis(500 * half)), Ok(()));
        assert!(handshake.receive(&mut &mut b"!".to_vec()[..]).unwrap().is_none());
    }
    let error = handshake.handle_timeout(at(10)).unwrap_err();
    let HandshakeError::Refused(response) = error else { panic!("{error:?}") };
    assert_eq!(response.body_bytes(), b"later!!!!!!!!!!!!!!!!!!!");
}

#[test]
fn without_an_open_timeout_both_handshakes_wait_for_ever() {
    let patient = limits(|limits| limits.open_timeout = None);
    let mut server = server_handshake(&patient, at(0));
    let mut client = client_handshake(&patient, at(0));
    assert_eq!((server.poll_timeout(), client.poll_timeout()), (None, None));
    assert_eq!(server.handle_timeout(at(1_000_000)), Ok(()));
    assert_eq!(client.handle_timeout(at(1_000_000)), Ok(()));
}

#[test]
fn the_default_deadlines_are_those_of_the_documentation() {
    let config = Config::default();
    assert_eq!(HandshakeConfig::default().open_timeout, Some(secs(10)));
    assert_eq!(config.close_timeout, secs(5));
    assert_eq!(config.write_timeout, Some(secs(30)));
    assert_eq!(config.stall_timeout, Some(secs(30)));
    let keepalive = config.keepalive.unwrap();
    assert_eq!((keepalive.interval, keepalive.timeout, keepalive.max_missed), (secs(20), secs(20), Some(1)));
}
