//! Shutdown of the stream and end of the connection.

use ws_core::{
    CloseCode, Config, Role, Timestamp,
    testing::{Frame, drained, wire},
};
use ws_transport::{Error, InputEnd, Step};

use crate::support::{End, Outcome, decrypted, sessions};

fn masked(frame: &Frame) -> Vec<u8> {
    frame.encode_for(Role::Server)
}

#[test]
fn answers_a_close_and_then_the_end_of_the_stream() {
    let mut server = End::server(Config::default());
    server.room = 100;
    server.driver.connection.reply(vec![7; 60_000]).unwrap();
    server.inbox.extend(masked(&Frame::close(1000, "")));
    assert!(matches!(server.turn(), Outcome::Waits { .. }));
    assert!(!server.is_shut_down, "the answer is not written yet");
    server.room = usize::MAX;
    assert!(matches!(server.turn(), Outcome::Ended(Ok(()))));
    assert!(server.is_shut_down);
    assert_eq!(
        wire::frames(&server.outbox).unwrap(),
        [Frame::binary(vec![7; 60_000]), Frame::close(1000, "")]
    );
}

#[test]
fn with_tls_close_notify_is_written_before_the_stream_is_shut_down() {
    let (mut client, session) = sessions();
    let mut server = End::new(Role::Server, Config::default(), Some(session));
    let mut sealed = ws_core::Transmit::default();
    client.encrypt_all(&mut &masked(&Frame::close(1000, ""))[..], &mut sealed);
    server.inbox.extend(drained(&mut sealed));
    // Room for the Close, but not for all of the bytes that follow it.
    server.room = 40;
    assert!(matches!(server.turn(), Outcome::Waits { .. }));
    assert!(!server.is_shut_down, "close_notify is not written yet");
    server.room = usize::MAX;
    assert!(matches!(server.turn(), Outcome::Ended(Ok(()))));
    assert_eq!(wire::frames(&decrypted(&mut client, &server.outbox)).unwrap(), [Frame::close(1000, "")]);
    assert!(client.is_closed_by_peer() && server.is_shut_down);
}

#[test]
fn after_its_end_a_server_drops_input_until_the_client_closes() {
    let mut server = End::server(Config::default());
    server.inbox.extend(masked(&Frame::close(1000, "")));
    assert!(matches!(server.turn(), Outcome::Ended(Ok(()))));
    assert!(matches!(server.driver.next_drain_step(), Step::Wait { read: true, until: Some(_) }));
    let mut late = vec![0xFF; 100_000];
    assert_eq!(server.driver.connection.receive(&mut &mut late[..]), Ok(None));
    server.driver.end_input(InputEnd::Eof);
    server.driver.begin_turn(Timestamp::ZERO).unwrap();
    assert!(matches!(server.driver.next_drain_step(), Step::End(Ok(()))));
}

#[test]
fn draining_ends_after_the_close_timeout() {
    let mut server = End::server(Config::default());
    server.inbox.extend(masked(&Frame::close(1000, "")));
    server.turn();
    let mut now = Timestamp::ZERO;
    for _ in 0..10 {
        match server.driver.next_drain_step() {
            Step::Wait { until, .. } => now = until.unwrap(),
            Step::End(ended) => {
                assert!(ended.is_ok());
                assert_eq!(now, Timestamp::from(server.driver.connection.config().close_timeout));
                return;
            }
            step => panic!("{step:?}"),
        }
        let _ = server.driver.begin_turn(now);
    }
    panic!("it never ends");
}

#[test]
fn a_client_waits_for_the_server_to_close_the_stream_first() {
    let mut client = End::new(Role::Client, Config::default(), None);
    client.driver.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    client.inbox.extend(Frame::close(1000, "").encode_for(Role::Client));
    assert!(matches!(client.turn(), Outcome::Waits { read: true, .. }));
    client.input_end = Some(InputEnd::Eof);
    assert!(matches!(client.turn(), Outcome::Ended(Ok(()))));
    assert!(client.is_shut_down);
}

#[test]
fn a_peer_that_half_closes_without_a_close_still_gets_what_was_queued() {
    let mut server = End::server(Config::default());
    server.room = 0;
    server.driver.connection.send(vec![7; 60_000]).unwrap();
    server.input_end = Some(InputEnd::Eof);
    assert!(matches!(server.turn(), Outcome::Waits { read: false, .. }));
    server.room = usize::MAX;
    assert!(matches!(server.turn(), Outcome::Ended(Err(Error::Disconnected(_)))));
    assert_eq!(wire::frames(&server.outbox).unwrap(), [Frame::binary(vec![7; 60_000])]);
}
