//! Tests of the test kit: deadlines of the application, start times, opening handshakes with faults, and transcripts.

use std::{process::Command, sync::Arc, time::Duration};

use ws_core::{
    CloseCode, Config, Event, HandshakeConfig, HandshakeError, Message, OriginPolicy, Role, Timestamp,
    client::Request,
    server::Accept,
    testing::{Frame, Head, Opening, Pair, Peer, ROLES, other, wire},
};

fn pair() -> Pair {
    Pair::open(Arc::new(Config::default()))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn request() -> Request {
    Request::new("ws://example.com/chat".parse().unwrap())
}

#[test]
fn an_event_after_the_deadline_of_the_application_is_not_returned_before_it() {
    for role in ROLES {
        let mut pair = pair();
        pair.link(role).delay(seconds(8));
        pair.end(role).connection.send("a").unwrap();
        let due = pair.now() + seconds(5);
        assert_eq!(pair.next_event_before(due), None);
        assert_eq!(pair.now(), due);
        let event = (other(role), Event::Message(Message::from("a")));
        assert_eq!(pair.next_event_before(due + seconds(60)), Some(event));
        assert_eq!(pair.now(), Timestamp::from(seconds(8)));
    }
}

#[test]
fn an_event_at_the_deadline_of_the_application_comes_before_it() {
    let mut pair = pair();
    pair.link(Role::Client).delay(seconds(5));
    pair.client().send("in time").unwrap();
    assert!(pair.next_event_before(Timestamp::from(seconds(5))).is_some());
    assert_eq!(pair.now(), Timestamp::from(seconds(5)));
}

#[test]
fn deadlines_of_the_connections_are_met_while_the_application_waits_for_its_own() {
    let mut pair = pair();
    pair.link(Role::Server).silence_after(0);
    while let Some((role, event)) = pair.next_event_before(Timestamp::from(seconds(3600))) {
        assert!(role == Role::Server && matches!(event, Event::Ping(_)), "{event:?}");
    }
    assert!(pair.client().close_info().is_some());
    // A deadline that has passed returns what has arrived, and does not turn back the clock.
    assert_eq!(pair.next_event_before(Timestamp::ZERO), None);
    assert_eq!(pair.now(), Timestamp::from(seconds(3600)));
}

#[test]
fn a_pair_and_a_peer_begin_at_any_time_and_keep_the_deadlines_from_there() {
    let start = Timestamp::from(Duration::from_secs(1 << 33));
    let mut pair = Pair::open_at(Arc::new(Config::default()), start);
    assert_eq!(pair.now(), start);
    let due = pair.next_timeout().unwrap();
    assert!(due > start, "{due}");
    pair.advance(seconds(3600));
    assert!(pair.client().close_info().is_none());
    let mut peer = Peer::for_role_at(Role::Server, Config::default(), start);
    assert_eq!(peer.now(), start);
    peer.expect_silence();
    peer.advance(due.saturating_duration_since(start));
    assert_eq!(peer.next_frame().unwrap().opcode, wire::PING);
    let pair = Opening::new(request()).begin_at(start).run().unwrap();
    assert_eq!(pair.now(), start);
}

#[test]
fn an_opening_takes_the_time_of_its_network_which_the_pair_keeps() {
    let mut opening = Opening::new(request().subprotocol("chat")).accept(Accept::new().subprotocol("chat"));
    for role in ROLES {
        opening.link(role).delay(seconds(1)).pieces([1].into_iter().cycle());
    }
    let mut pair = opening.run().unwrap();
    assert_eq!(pair.now(), Timestamp::from(seconds(2)));
    assert_eq!(pair.server().subprotocol(), Some("chat"));
    pair.client().send("Hello").unwrap();
    assert_eq!(pair.next_event(), Some((Role::Server, Event::Message(Message::from("Hello")))));
    assert_eq!(pair.now(), Timestamp::from(seconds(3)));
}

#[test]
fn a_server_that_refuses_is_an_error_at_both_ends() {
    let failed = Opening::new(request().header("Origin", "https://evil.example")).run().unwrap_err();
    assert!(matches!(&failed.client, Some(HandshakeError::Refused(response)) if response.status() == 403));
    assert!(failed.server.is_some(), "{failed}");
    let origin = OriginPolicy::Any;
    Opening::new(request().header("Origin", "https://evil.example")).origin(origin).run().unwrap();
}

#[test]
fn heads_are_changed_on_their_way() {
    let failed = Opening::new(request())
        .edit_request(|head| head.set("Sec-WebSocket-Version", "8"))
        .run()
        .unwrap_err();
    assert_eq!(failed.server, Some(HandshakeError::UnsupportedVersion));
    let failed = Opening::new(request()).edit_response(|head| head.set("Upgrade", "h2c")).run().unwrap_err();
    assert_eq!(failed.client, Some(HandshakeError::InvalidHeader("Upgrade")));
    assert_eq!(failed.server, None);
    let page = Head::new(["HTTP/1.1 200 OK", "Content-Length: 0"]);
    let failed = Opening::new(request()).edit_response(|_| page).run().unwrap_err();
    assert!(matches!(failed.client, Some(HandshakeError::Refused(_))));
}

#[test]
fn a_request_or_response_that_is_lost_ends_the_opening_in_time() {
    for role in ROLES {
        for bytes in [0, 1, 40] {
            let mut opening = Opening::new(request());
            opening.link(role).silence_after(bytes);
            let failed = opening.run().unwrap_err();
            assert_eq!(failed.at, Timestamp::from(seconds(10)));
            if role == Role::Server {
                assert_eq!(failed.client, Some(HandshakeError::Timeout), "{bytes}");
            } else {
                // The server's limit is the same, and its response arrives at once.
                assert_eq!(failed.server, Some(HandshakeError::Timeout), "{bytes}");
                let status = |error| matches!(error, Some(HandshakeError::Refused(it)) if it.status() == 408);
                assert!(status(failed.client), "{bytes}");
            }
            let mut opening = Opening::new(request());
            opening.link(role).reset_after(bytes);
            let failed = opening.run().unwrap_err();
            assert_eq!(failed.client, Some(HandshakeError::Eof), "{role:?} {bytes}");
            assert_eq!(failed.at, Timestamp::ZERO);
        }
    }
}

#[test]
fn ends_without_a_time_limit_wait_for_ever_and_that_is_reported() {
    let mut limits = HandshakeConfig::default();
    limits.open_timeout = None;
    let mut opening =
        Opening::new(request()).limits(Role::Client, limits.clone()).limits(Role::Server, limits);
    opening.link(Role::Client).silence_after(10);
    let failed = opening.run().unwrap_err();
    assert_eq!((failed.client, failed.server), (None, None));
}

#[test]
fn a_transcript_shows_each_frame_with_its_time_and_direction() {
    let mut pair = Opening::new(request()).run().unwrap();
    pair.link(Role::Client).delay(Duration::from_millis(30));
    pair.client().ping(b"a").unwrap();
    pair.client().send(vec![0; 70_000]).unwrap();
    // The frame is written in two parts.
    assert!(pair.write(Role::Client, 1000));
    pair.run_until_idle();
    pair.server().fail(CloseCode::POLICY_VIOLATION, "too large").unwrap();
    pair.run_until_idle();
    let transcript = pair.transcript().to_string();
    let lines: Vec<_> =
        transcript.lines().map(|line| line.split("  ").collect::<Vec<_>>().join("|")).collect();
    assert!(lines[0].starts_with("0.000000 s|client -> server|head \"GET /chat HTTP/1.1\""), "{transcript}");
    assert!(lines[1].starts_with("0.000000 s|server -> client|head \"HTTP/1.1 101"), "{transcript}");
    assert_eq!(lines[2], "0.000000 s|client -> server|ping \"a\"");
    assert!(lines[3].starts_with("0.000000 s|client -> server|binary \"\\0"), "{transcript}");
    assert!(lines[3].ends_with("70000 bytes in all"), "{transcript}");
    assert_eq!(lines[4], "0.030000 s|server -> client|pong \"a\"");
    assert_eq!(lines[5], "0.030000 s|server -> client|close 1008 \"too large\"");
}

#[test]
fn a_transcript_shows_frames_that_are_invalid_or_cut() {
    let mut peer = Peer::for_role(Role::Client, Config::default());
    peer.send(Frame::new(3, "x").reserved(0b101).unfinished());
    peer.send_bytes(&[0x81, 5, b'a']);
    let transcript = peer.transcript().to_string();
    let lines: Vec<_> = transcript.lines().collect();
    assert!(lines[0].ends_with("server -> client  opcode 0x3, unfinished, rsv 101 \"x\""), "{transcript}");
    assert!(lines.last().unwrap().ends_with("an unfinished frame, 3 bytes or more"), "{transcript}");
}

#[test]
fn a_transcript_of_a_long_conversation_keeps_the_end() {
    let mut pair = pair();
    for number in 0..3000 {
        pair.client().send(format!("number {number}")).unwrap();
        pair.run_until_idle();
    }
    let transcript = pair.transcript().to_string();
    assert_eq!(transcript.lines().next(), Some(".. 2000 earlier lines"));
    assert_eq!(transcript.lines().count(), 1001);
    assert!(transcript.ends_with("text \"number 2999\"\n"));
}

/// Fails when the test below runs it in a process of its own.
#[test]
#[ignore = "it fails on purpose"]
fn conversation_that_fails() {
    let mut pair = pair();
    pair.client().send("the last words").unwrap();
    pair.run_until_idle();
    assert_eq!(pair.end(Role::Server).events(), []);
}

#[test]
fn a_failed_test_prints_its_conversation() {
    let test = std::env::current_exe().unwrap();
    let output = Command::new(test)
        .args(["--ignored", "--exact", "conversation_that_fails", "--nocapture"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(printed.contains("client -> server  text \"the last words\""), "{printed}");
}

#[test]
fn a_truncated_stream_of_frames_is_an_error_with_the_frames_before_it() {
    let frames = [Frame::text("Hello"), Frame::close(1000, "bye"), Frame::binary(vec![7; 70_000])];
    let stream = wire::stream(Role::Client, &frames);
    assert_eq!(wire::frames(&stream).unwrap(), frames);
    let ends = [7, 14, 14 + 70_010];
    for cut in (0..40).chain([1000, stream.len() - 1]) {
        let complete = ends.iter().filter(|&&end| end <= cut).count();
        match wire::frames(&stream[..cut]) {
            Ok(whole) => assert!(whole == frames[..complete] && (cut == 0 || ends.contains(&cut)), "{cut}"),
            Err(error) => {
                assert!(error.frames == frames[..complete], "{cut}");
                assert!(!error.rest.is_empty() && error.to_string().contains("within a frame"), "{error}");
            }
        }
    }
}
