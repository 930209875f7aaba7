//! Tests of the test kit: the documented behaviour of `ws_core::testing` for time, loss and splits, and the values
//! that its strategies create.

use std::{sync::Arc, time::Duration};

use arbitrary::{Arbitrary, Unstructured};
use proptest::prelude::*;
use ws_core::{
    Cause, CloseCode, CloseFrame, Config, Connection, Delivery, Event, HandshakeConfig, Message,
    OriginPolicy, Role, State, TimeoutKind, Timestamp,
    frame::Header,
    server,
    testing::{Ending, Frame, Head, Pair, Peer, ROLES, connect, other, strategies},
};

fn pair() -> Pair {
    Pair::open(Arc::new(Config::default()))
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(count) }
}

#[test]
fn bytes_arrive_after_the_delay_and_not_before() {
    for role in ROLES {
        let mut pair = pair();
        pair.link(role).delay(millis(40));
        pair.end(role).connection.send("a").unwrap();
        pair.advance(millis(39));
        assert_eq!(pair.end(other(role)).events(), []);
        assert!(pair.link(role).under_way() > 0);
        pair.advance(millis(1));
        assert_eq!(pair.end(other(role)).take_events(), [Event::Message(Message::from("a"))]);
        assert_eq!(pair.now(), Timestamp::from(millis(40)));
    }
}

#[test]
fn what_is_sent_later_arrives_later_even_if_the_delay_becomes_shorter() {
    let mut pair = pair();
    pair.link(Role::Client).delay(millis(40));
    pair.client().send("slow").unwrap();
    pair.write(Role::Client, usize::MAX);
    pair.link(Role::Client).delay(millis(1));
    pair.client().send("fast").unwrap();
    let heard: Vec<_> = std::iter::from_fn(|| pair.next_event()).collect();
    let event = |text: &'static str| (Role::Server, Event::Message(Message::from(text)));
    assert_eq!(heard, [event("slow"), event("fast")]);
}

#[test]
fn a_deadline_on_the_way_is_met_in_time() {
    let mut pair = pair();
    // Longer than the keepalive timeouts of both ends.
    pair.link(Role::Client).delay(Duration::from_secs(100));
    pair.client().send("too late").unwrap();
    pair.run_until_idle();
    let close_info = pair.server().close_info().unwrap();
    assert_eq!(close_info.cause, Cause::Timeout(TimeoutKind::Keepalive));
    assert_eq!(pair.end(Role::Server).events(), []);
}

#[test]
fn waiting_takes_as_long_as_it_says_and_wakes_whoever_wants_to_be() {
    let mut pair = pair();
    pair.advance(Duration::from_secs(3600));
    assert_eq!(pair.now(), Timestamp::from(Duration::from_secs(3600)));
    assert_eq!(pair.client().state(), State::Open);
    assert_eq!(pair.client().latency(), Some(Duration::ZERO));
}

#[test]
fn a_link_cuts_as_it_is_told_and_then_no_more() {
    let mut config = Config::default();
    config.delivery = Delivery::Chunks;
    let mut pair = Pair::open(Arc::new(config));
    // Two bytes of header, and then the payload.
    pair.link(Role::Server).pieces([2, 1, 0, 3]);
    pair.server().send("abcdefghij").unwrap();
    pair.run_until_idle();
    let lens: Vec<_> = pair.end(Role::Client).events().iter().map(len_of_chunk).collect();
    assert_eq!(lens, [1, 1, 3, 5]);
}

#[test]
fn bytes_take_the_time_of_the_bandwidth() {
    for role in ROLES {
        let mut config = Config::default();
        config.keepalive = None;
        let mut pair = Pair::open(Arc::new(config));
        pair.link(role).bandwidth(1000).delay(millis(500));
        let header = if role == Role::Client { 8 } else { 4 };
        pair.end(role).connection.send(vec![7; 2000 - header]).unwrap();
        pair.advance(millis(2499));
        assert_eq!(pair.end(other(role)).events().len(), 0);
        pair.advance(millis(1));
        assert_eq!(pair.end(other(role)).take_events().len(), 1);
        // A link that was idle does not catch up.
        pair.advance(millis(60_000));
        pair.end(role).connection.send(vec![7; 1000 - header]).unwrap();
        pair.advance(millis(1499));
        assert_eq!(pair.end(other(role)).events().len(), 0);
        pair.advance(millis(1));
        assert_eq!(pair.end(other(role)).take_events().len(), 1);
    }
}

#[test]
fn a_link_refuses_what_is_beyond_its_capacity_until_bytes_were_read() {
    let mut pair = pair();
    pair.link(Role::Server).capacity(100);
    pair.server().send(vec![7; 246]).unwrap();
    assert_eq!(pair.server().buffered(), 250);
    for (room, left) in [(100, 150), (0, 150)] {
        assert_eq!(pair.link(Role::Server).room(), room);
        assert_eq!(pair.write(Role::Server, usize::MAX), room > 0);
        assert_eq!(pair.server().buffered(), left);
    }
    assert!(pair.read(Role::Client, 30));
    assert_eq!(pair.link(Role::Server).room(), 30);
    assert!(pair.write(Role::Server, usize::MAX));
    assert_eq!((pair.server().buffered(), pair.link(Role::Server).under_way()), (120, 100));
    pair.run_until_idle();
    assert_eq!(pair.end(Role::Client).take_events().len(), 1);
}

#[test]
fn what_is_taken_is_in_flight_until_it_was_written() {
    let mut pair = pair();
    pair.server().send("first").unwrap();
    pair.take(Role::Server);
    pair.server().send("second").unwrap();
    assert!(pair.write(Role::Server, 3));
    assert_eq!((pair.server().buffered(), pair.server().total_written()), (12, 3));
    pair.run_until_idle();
    let event = |text: &'static str| Event::Message(Message::from(text));
    assert_eq!(pair.end(Role::Client).take_events(), [event("first"), event("second")]);
    assert_eq!(pair.server().buffered(), 0);
}

#[test]
fn a_pause_holds_back_what_is_under_way_and_what_follows() {
    let mut pair = pair();
    pair.link(Role::Server).delay(millis(10));
    pair.server().send("a").unwrap();
    pair.write(Role::Server, usize::MAX);
    pair.link(Role::Server).pause_until(Timestamp::from(millis(100)));
    pair.server().send("b").unwrap();
    pair.advance(millis(99));
    assert_eq!(pair.end(Role::Client).events(), []);
    pair.advance(millis(11));
    assert_eq!(pair.end(Role::Client).take_events().len(), 2);
}

#[test]
fn a_half_closed_stream_ends_behind_what_was_written_and_still_receives() {
    for role in ROLES {
        let mut pair = pair();
        pair.link(role).delay(millis(10));
        pair.end(role).connection.send("question").unwrap();
        pair.write(role, usize::MAX);
        pair.half_close(role);
        let answerer = other(role);
        pair.end(answerer).connection.send("answer").unwrap();
        pair.run_until_idle();
        assert_eq!(pair.end(answerer).take_events(), [Event::Message(Message::from("question"))]);
        assert_eq!(pair.end(answerer).connection.close_info().unwrap().cause, Cause::Eof);
        assert_eq!(pair.end(role).take_events(), [Event::Message(Message::from("answer"))]);
        assert!(pair.end(answerer).connection.is_finished());
    }
}

#[test]
fn a_reset_drops_what_is_under_way_and_ends_both_streams() {
    let mut pair = pair();
    pair.link(Role::Client).reset_after(3);
    pair.link(Role::Server).delay(millis(10));
    pair.server().send("never arrives").unwrap();
    pair.write(Role::Server, usize::MAX);
    pair.client().send("never whole").unwrap();
    pair.run_until_idle();
    for role in ROLES {
        assert_eq!(pair.end(role).events(), []);
        assert_eq!(pair.link(role).under_way(), 0);
        assert_eq!(pair.end(role).connection.close_info().unwrap().cause, Cause::Eof);
        assert!(pair.end(role).connection.is_finished());
    }
}

#[test]
fn an_end_that_has_paused_receives_the_rest_when_its_replies_were_written() {
    let mut config = Config::default();
    config.write_buffer_size = 100;
    let mut pair = Pair::open(Arc::new(config));
    pair.link(Role::Server).capacity(50).bandwidth(1000);
    for number in 0..20_u8 {
        pair.client().reply(vec![number; 50]).unwrap();
    }
    let mut answers = 0;
    while let Some((role, event)) = pair.next_event() {
        match (role, event) {
            (Role::Server, Event::Message(message)) => pair.server().reply(message).unwrap(),
            (Role::Client, Event::Message(message)) => {
                assert_eq!(message.as_bytes(), [answers; 50]);
                answers += 1;
            }
            (_, event) => panic!("{event:?}"),
        }
    }
    assert_eq!(answers, 20);
}

fn len_of_chunk(event: &Event<'_>) -> usize {
    match event {
        Event::Chunk(chunk) => chunk.payload.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_finished_end_hangs_up_behind_what_it_has_said() {
    let mut pair = pair();
    pair.link(Role::Server).delay(millis(10));
    pair.server().send("last words").unwrap();
    pair.server().fail(CloseCode::GOING_AWAY, "").unwrap();
    pair.run_until_idle();
    let events = pair.end(Role::Client).take_events();
    assert_eq!(events[0], Event::Message(Message::from("last words")));
    assert!(matches!(events[1], Event::Close(Some(_))));
    assert!(pair.client().is_finished());
}

#[test]
fn two_ends_shake_hands_or_say_why_not() {
    let request = ws_core::client::Request::new("ws://host/".parse().unwrap());
    let accept = server::Accept::new().subprotocol("chat");
    let config = Arc::new(Config::default());
    let error = Pair::handshake(&request, &accept, config.clone(), config.clone()).unwrap_err();
    assert_eq!(error, ws_core::HandshakeError::SubprotocolNotOffered);
    let mut pair = Pair::handshake(&request.subprotocol("chat"), &accept, config.clone(), config).unwrap();
    for role in ROLES {
        assert_eq!(pair.end(role).connection.subprotocol(), Some("chat"));
        assert!(!pair.end(role).connection.wants_write());
    }
}

#[test]
fn a_peer_is_masked_as_its_role_demands_and_hears_everything() {
    for role in ROLES {
        let mut peer = Peer::for_role(role, Config::default());
        peer.send(Frame::ping("a")).send(Frame::text("b")).expect(Frame::pong("a")).expect_silence();
        assert_eq!(peer.take_events().len(), 2);
        peer.send_bytes(&[0xFF, 0xFF]).expect_close(1002);
        assert!(peer.error().is_some());
        peer.close_stream();
        assert!(peer.connection.is_finished());
    }
}

#[test]
fn a_peer_that_waits_lets_deadlines_pass() {
    let mut peer = Peer::for_role(Role::Server, Config::default());
    peer.advance(Duration::from_secs(20));
    assert_eq!(peer.next_frame().unwrap().opcode, 9);
    peer.advance(Duration::from_secs(20));
    assert!(peer.connection.is_finished());
    assert_eq!(peer.now(), Timestamp::from(Duration::from_secs(40)));
}

#[test]
#[should_panic(expected = "and nothing came")]
fn a_peer_that_expects_what_does_not_come_panics() {
    Peer::for_role(Role::Client, Config::default()).expect(Frame::text("never"));
}

#[test]
#[should_panic(expected = "unexpected")]
fn a_peer_that_expects_nothing_panics_when_something_comes() {
    Peer::for_role(Role::Client, Config::default()).send(Frame::ping("")).expect_silence();
}

proptest! {
    #![proptest_config(cases(300))]

    // Invariant: if a connection is lost at any byte, the received data is a prefix of the sent data, neither end
    // reports an error of the other, and both detect the loss.
    #[test]
    fn a_connection_can_be_lost_at_any_byte(
        role in strategies::role(),
        messages in prop::collection::vec(strategies::message(), 1..5),
        sizes in strategies::cuts(),
        loss in 0..400_u64,
    ) {
        let mut pair = pair();
        pair.link(role).reset_after(loss).pieces(sizes.into_iter().cycle());
        for message in &messages {
            let _ = pair.end(role).connection.send(message);
        }
        pair.run_until_idle();
        prop_assert!(pair.link(role).delivered() <= loss);
        let received = pair.end(other(role)).take_events();
        let expected: Vec<_> = messages.into_iter().map(Event::Message).take(received.len()).collect();
        prop_assert_eq!(received, expected);
        let lost = pair.link(role).delivered() == loss;
        for role in ROLES {
            let end = pair.end(role);
            prop_assert_eq!(end.error(), None);
            prop_assert_eq!(end.connection.is_finished(), lost);
            prop_assert_eq!(end.connection.close_info().map(|close_info| close_info.cause), lost.then_some(Cause::Eof));
        }
    }

    // Invariant: if one direction falls silent, the end that receives nothing gives up within the documented time.
    #[test]
    fn a_silent_direction_is_noticed(role in strategies::role(), loss in 0..30_u64) {
        let mut pair = pair();
        pair.link(role).silence_after(loss);
        pair.advance(Duration::from_secs(600));
        for role in ROLES {
            prop_assert!(pair.end(role).connection.is_finished());
        }
    }

    // Invariant: a generated header is valid, and decodes to itself.
    #[test]
    fn generated_headers_are_legal(header in strategies::header()) {
        let bytes = header.encode();
        prop_assert_eq!(Header::decode(&bytes), Ok(Some((header, bytes.len()))));
    }

    // Invariant: each generated way to close ends both connections in bounded time.
    #[test]
    fn generated_endings_end(endings in strategies::endings()) {
        let mut pair = pair();
        for (role, ending) in &endings {
            ending.apply(&mut pair, *role);
        }
        let _ = pair.client().close(CloseCode::NORMAL_CLOSURE, "");
        pair.advance(Duration::from_secs(10));
        prop_assert!(pair.client().is_finished() && pair.server().is_finished());
    }

    // Invariant: no generated head makes a handshake panic, and most requests are accepted.
    #[test]
    fn generated_requests_are_answered(heads in prop::collection::vec(strategies::head(), 40)) {
        let accepted = heads.iter().filter(|head| is_accepted(head)).count();
        prop_assert!(accepted > 0, "none is accepted");
        prop_assert!(accepted < heads.len(), "none is refused");
    }

    // Invariant: a value created from any bytes is as valid as its type documents.
    #[test]
    fn arbitrary_values_are_what_they_say(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = Unstructured::new(&bytes);
        let header = Header::arbitrary(&mut bytes).unwrap();
        let encoded = header.encode();
        prop_assert_eq!(Header::decode(&encoded), Ok(Some((header, encoded.len()))));
        let close = CloseFrame::arbitrary(&mut bytes).unwrap();
        prop_assert!(CloseFrame::new(close.code, close.reason).is_ok());
        prop_assert!(Frame::arbitrary(&mut bytes).unwrap().opcode < 16);
        let _ = is_accepted(&Head::arbitrary(&mut bytes).unwrap());
        let mut pair = pair();
        for _ in 0..3 {
            Ending::arbitrary(&mut bytes).unwrap().apply(&mut pair, Role::arbitrary(&mut bytes).unwrap());
        }
    }
}

fn is_accepted(head: &Head) -> bool {
    let config = Arc::new(Config::default());
    let mut handshake = server::Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
    let accept = |request: &server::Request| {
        let upgrade = request.upgrade(&OriginPolicy::default())?;
        upgrade.accept(&server::Accept::new(), config.clone(), Timestamp::ZERO)
    };
    matches!(handshake.receive(&mut &mut head.bytes()[..]), Ok(Some(request)) if accept(&request).is_ok())
}

#[test]
fn the_parts_of_a_pair_can_be_had() {
    let (client, server) = pair().into_connections();
    assert_eq!((client.role(), server.role()), (Role::Client, Role::Server));
    let connection: Connection = connect(Role::Server, Arc::new(Config::default()));
    assert_eq!(connection.role(), Role::Server);
}
