//! Reading, the order of looks and timeouts, and the end of the input.

use std::time::Duration;

use ws_core::{
    Cause, Config, Event, Keepalive, Message, Role, State, TimeoutKind, Transmit,
    testing::{Frame, drained, wire},
};
use ws_transport::{Error, InputEnd};

use crate::support::{End, Outcome, millis, sessions};

fn pinging() -> Config {
    let mut config = Config::default();
    let second = Duration::from_secs(1);
    config.keepalive = Some(Keepalive { interval: second, timeout: second, max_missed: Some(1) });
    config
}

fn text(text: &str) -> Event<'static> {
    Event::Message(Message::from(text.to_owned()))
}

fn masked(frame: &Frame) -> Vec<u8> {
    frame.encode_for(Role::Server)
}

#[test]
fn a_driver_that_was_away_looks_at_its_socket_before_a_verdict() {
    let mut server = End::server(pinging());
    server.now = millis(1000);
    server.turn();
    let ping = wire::frames(&server.outbox).unwrap().pop().unwrap();
    // The pong arrives in time, but the thread continues only an hour later.
    server.inbox.extend(masked(&Frame::pong(ping.payload)));
    server.now = millis(3_600_000);
    server.looks = 0;
    assert!(matches!(server.turn(), Outcome::Waits { .. }));
    assert_eq!(server.driver.connection.state(), State::Open);
}

#[test]
fn a_silent_peer_is_dead_after_one_look_and_not_before() {
    let mut server = End::server(pinging());
    server.now = millis(1000);
    server.turn();
    server.now = millis(2000);
    server.looks = 0;
    let Outcome::Ended(Err(Error::Disconnected(close_info))) = server.turn() else { panic!("still waiting") };
    assert_eq!(close_info.cause, Cause::Timeout(TimeoutKind::Keepalive));
    assert_eq!(server.looks, 1);
}

#[test]
fn a_ping_that_was_written_costs_no_look() {
    let mut server = End::server(pinging());
    server.now = millis(999);
    server.turn();
    server.looks = 0;
    server.now = millis(1000);
    let Outcome::Waits { until, .. } = server.turn() else { panic!("ended") };
    assert_eq!(until, Some(millis(2000)), "the deadline starts when the ping was written");
    assert_eq!(server.looks, 1, "the one before the ping");
}

#[test]
fn an_open_connection_is_read_although_output_waits() {
    let mut server = End::server(Config::default());
    server.room = 10;
    server.driver.connection.send(vec![1; 60_000]).unwrap();
    server.inbox.extend(masked(&Frame::text("still heard")));
    assert!(matches!(server.turn(), Outcome::Waits { read: true, .. }));
    assert_eq!(server.events, [text("still heard")]);
}

#[test]
fn nothing_is_read_while_replies_are_held_back_and_everything_afterwards() {
    let mut server = End::server(Config::default());
    server.room = 10;
    server.driver.connection.reply(vec![1; 70_000]).unwrap();
    server.inbox.extend(masked(&Frame::text("later")));
    assert!(matches!(server.turn(), Outcome::Waits { read: false, .. }));
    assert_eq!((server.events.len(), server.inbox.len()), (0, masked(&Frame::text("later")).len()));
    server.room = usize::MAX;
    assert!(matches!(server.turn(), Outcome::Waits { read: true, .. }));
    assert_eq!(server.events, [text("later")]);
}

#[test]
fn plaintext_before_a_broken_record_is_received_first() {
    let (mut client, session) = sessions();
    let mut server = End::new(Role::Server, Config::default(), Some(session));
    let mut sealed = Transmit::default();
    client.encrypt_all(&mut &masked(&Frame::text("in time"))[..], &mut sealed);
    server.inbox.extend(drained(&mut sealed));
    server.inbox.extend([0; 100]);
    let Outcome::Ended(Err(Error::Tls(_))) = server.turn() else { panic!("the record is broken") };
    assert_eq!(server.events, [text("in time")]);
}

#[test]
fn a_close_before_a_broken_record_is_still_a_close() {
    let (mut client, session) = sessions();
    let mut server = End::new(Role::Server, Config::default(), Some(session));
    let mut sealed = Transmit::default();
    client.encrypt_all(&mut &masked(&Frame::close(1000, "bye"))[..], &mut sealed);
    server.inbox.extend(drained(&mut sealed));
    server.inbox.extend([0; 100]);
    server.turn();
    let close_info = server.driver.connection.close_info().unwrap();
    assert_eq!((close_info.code.get(), &*close_info.reason), (1000, "bye"));
}

#[test]
fn close_notify_is_the_end_of_the_stream_though_tcp_stays_open() {
    let (mut client, session) = sessions();
    let mut server = End::new(Role::Server, Config::default(), Some(session));
    let mut sealed = Transmit::default();
    client.encrypt_all(&mut &masked(&Frame::text("last"))[..], &mut sealed);
    client.close();
    client.take_output(&mut sealed);
    server.inbox.extend(drained(&mut sealed));
    let Outcome::Ended(Err(Error::Disconnected(close_info))) = server.turn() else {
        panic!("it waits for more")
    };
    assert_eq!((close_info.cause, server.events), (Cause::Eof, vec![text("last")]));
    // The server sends its own `close_notify`, and shuts down.
    assert!(!server.outbox.is_empty() && server.is_shut_down);
}

#[test]
fn an_end_of_tcp_without_a_close_is_a_disconnect_with_tls_and_without() {
    for session in [None, Some(sessions().1)] {
        let mut server = End::new(Role::Server, Config::default(), session);
        server.input_end = Some(InputEnd::Eof);
        assert!(matches!(server.turn(), Outcome::Ended(Err(Error::Disconnected(_)))));
    }
    // A stream that handles TLS itself.
    let mut server = End::server(Config::default());
    server.fail_to_read(std::io::ErrorKind::UnexpectedEof);
    assert!(matches!(server.turn(), Outcome::Ended(Err(Error::Disconnected(_)))));
}

#[test]
fn a_failed_read_is_an_error_unless_the_connection_was_closed() {
    let mut server = End::server(Config::default());
    server.fail_to_read(std::io::ErrorKind::ConnectionReset);
    assert!(matches!(server.turn(), Outcome::Ended(Err(Error::Io(_)))));

    let mut server = End::server(Config::default());
    server.inbox.extend(masked(&Frame::close(1000, "")));
    server.fail_to_read(std::io::ErrorKind::ConnectionReset);
    assert!(matches!(server.turn(), Outcome::Ended(Ok(()))));
}

#[test]
fn input_that_is_kept_is_received_before_the_end_of_the_stream() {
    let mut server = End::server(Config::default());
    server.room = 0;
    server.driver.connection.reply(vec![1; 70_000]).unwrap();
    // The driver no longer reads, but these bytes were read before.
    let mut read = [masked(&Frame::text("one")), masked(&Frame::text("two"))].concat();
    assert!(server.driver.connection.receive(&mut &mut read[..]).unwrap().is_none());
    server.driver.end_input(InputEnd::Eof);
    assert!(matches!(server.turn(), Outcome::Waits { read: false, .. }));
    server.room = usize::MAX;
    assert!(matches!(server.turn(), Outcome::Ended(Err(Error::Disconnected(_)))));
    assert_eq!(server.events, [text("one"), text("two")]);
}
