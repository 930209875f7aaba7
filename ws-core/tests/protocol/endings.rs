//! The end of a connection as seen from one end: state, close information and the order of waiting (RFC 6455 section 7.1).

use ws_core::{
    Cause, CloseCode, CloseInfo, Connection, Keepalive, ProtocolError, Role, Side, State, TimeoutKind,
    Timestamp,
};

use crate::support::{ROLES, at, error_of, events, hear, open, open_with, secs, sent, wire::Frame, written};

const NORMAL: CloseCode = CloseCode::NORMAL_CLOSURE;

/// An action on a connection, and its name.
type Named = (&'static str, fn(&mut Connection));

fn states(connection: &Connection) -> (State, bool, bool) {
    (connection.state(), connection.is_finished(), connection.close_info().is_some())
}

const OPEN: (State, bool, bool) = (State::Open, false, false);
const CLOSING: (State, bool, bool) = (State::Closing, false, true);
const CLOSED: (State, bool, bool) = (State::Closed, true, true);

/// Asserts that no output is left: this end shuts down its direction, drops further input, and is finished at the end
/// of the stream.
fn drains(connection: &mut Connection) {
    assert_eq!(states(connection), CLOSING);
    assert!(connection.wants_shutdown() && connection.wants_read() && !connection.wants_write());
    assert_eq!(events(connection, b"\xFF\xFF\xFF\xFF"), []);
    connection.receive_eof();
    assert_eq!(states(connection), CLOSED);
    assert!(!connection.wants_shutdown() && !connection.wants_read());
}

#[test]
fn a_server_shuts_down_as_soon_as_both_closes_are_through() {
    let mut server = open(Role::Server);
    assert_eq!(states(&server), OPEN);
    hear(&mut server, &[Frame::close(1000, "")]);
    assert_eq!(states(&server), CLOSING);
    assert!(!server.wants_shutdown(), "the echo is not written yet");
    written(&mut server);
    drains(&mut server);

    let mut server = open(Role::Server);
    server.close(NORMAL, "").unwrap();
    assert_eq!(states(&server), CLOSING);
    written(&mut server);
    assert_eq!(states(&server), CLOSING, "the client's Close is missing");
    assert!(server.wants_read() && !server.wants_shutdown());
    hear(&mut server, &[Frame::close(1000, "")]);
    drains(&mut server);
}

#[test]
fn a_client_waits_for_the_server_to_close_the_stream() {
    let mut client = open(Role::Client);
    client.close(NORMAL, "").unwrap();
    written(&mut client);
    hear(&mut client, &[Frame::close(1000, "")]);
    assert_eq!(states(&client), CLOSING);
    assert!(client.wants_read() && !client.wants_shutdown());
    client.receive_eof();
    assert_eq!(states(&client), CLOSED);
    assert!(client.close_info().unwrap().was_clean);

    // If a server closes the stream before it reads the echo, the echo is still written.
    let mut client = open(Role::Client);
    hear(&mut client, &[Frame::close(1000, "")]);
    client.receive_eof();
    assert_eq!(states(&client), CLOSING);
    assert_eq!(sent(&mut client), [Frame::close(1000, "")]);
    assert_eq!(states(&client), CLOSED);
}

#[test]
fn a_client_waits_for_the_close_timeout_and_the_end_is_still_clean() {
    let mut client = open(Role::Client);
    hear(&mut client, &[Frame::close(1000, "")]);
    written(&mut client);
    client.handle_timeout(at(1));
    assert_eq!(client.poll_timeout(), Some(at(6)));
    client.handle_timeout(at(6));
    assert_eq!(states(&client), CLOSED);
    let close_info = client.close_info().unwrap();
    assert_eq!((close_info.cause, close_info.was_clean), (Cause::Close, true));
}

#[test]
fn an_end_that_fails_the_connection_waits_for_nobody() {
    for role in ROLES {
        let mut connection = open(role);
        connection.fail(CloseCode::POLICY_VIOLATION, "no").unwrap();
        assert_eq!(states(&connection), CLOSING);
        assert_eq!(sent(&mut connection), [Frame::close(1008, "no")]);
        drains(&mut connection);

        let mut connection = open(role);
        assert!(error_of(&mut connection, &[Frame::continuation("")]).is_some());
        assert_eq!(states(&connection), CLOSING);
        written(&mut connection);
        assert!(connection.wants_shutdown());
        connection.receive_eof();
        assert_eq!(states(&connection), CLOSED);
    }
}

#[test]
fn failing_after_closing_sends_nothing_more() {
    for role in ROLES {
        let mut connection = open(role);
        connection.close(NORMAL, "").unwrap();
        connection.fail(CloseCode::POLICY_VIOLATION, "enough").unwrap();
        assert_eq!(sent(&mut connection), [Frame::close(1000, "")]);
        assert!(connection.wants_shutdown());
        let close_info = connection.close_info().unwrap();
        assert_eq!((close_info.code, close_info.cause), (CloseCode::POLICY_VIOLATION, Cause::Application));

        let mut connection = open(role);
        hear(&mut connection, &[Frame::close(1001, "")]);
        connection.fail(CloseCode::POLICY_VIOLATION, "late").unwrap();
        assert_eq!(sent(&mut connection), [Frame::close(1001, "")]);
        assert_eq!(connection.close_info().unwrap().cause, Cause::Close);
    }
}

#[test]
fn a_failed_connection_receives_nothing_more() {
    for role in ROLES {
        let mut connection = open(role);
        connection.fail(NORMAL, "").unwrap();
        assert_eq!(hear(&mut connection, &[Frame::text("a"), Frame::close(1000, "")]), []);
        assert_eq!(events(&mut connection, b"\xFF\xFF\xFF\xFF"), []);
        assert!(!connection.close_info().unwrap().was_clean);
    }
}

#[test]
fn the_end_of_the_stream_finishes_a_connection_at_every_stage() {
    let stages: [Named; 8] = [
        ("fresh", |_| {}),
        ("inside a header", |connection| drop(events(connection, &[0x81]))),
        ("inside a message", |connection| drop(hear(connection, &[Frame::text("a").unfinished()]))),
        ("unwritten message", |connection| connection.send("a").unwrap()),
        ("unwritten pong", |connection| drop(hear(connection, &[Frame::ping("a")]))),
        ("unwritten Close", |connection| connection.close(NORMAL, "").unwrap()),
        ("written Close", |connection| {
            connection.close(NORMAL, "").unwrap();
            written(connection);
        }),
        ("failed", |connection| {
            connection.fail(NORMAL, "").unwrap();
            written(connection);
        }),
    ];
    for role in ROLES {
        for (stage, reach) in stages {
            let mut connection = open(role);
            reach(&mut connection);
            connection.receive_eof();
            if connection.wants_write() {
                assert_eq!(states(&connection), CLOSING, "{stage}: what was queued is still written");
                written(&mut connection);
            }
            assert_eq!(states(&connection), CLOSED, "{stage}");
            assert!(!connection.wants_read(), "{stage}");
            let close_info = connection.close_info().unwrap();
            assert!(!close_info.was_clean, "{stage}");
            let before = close_info;
            connection.receive_eof();
            assert_eq!(connection.close_info(), Some(before), "{stage}: once more changes nothing");
        }
    }
}

#[test]
fn nothing_that_comes_after_the_end_of_the_stream_counts() {
    for role in ROLES {
        for frame in [Frame::text("a"), Frame::ping("a"), Frame::close(1000, ""), Frame::continuation("")] {
            let mut connection = open(role);
            connection.receive_eof();
            let (close_info, output) = (connection.close_info(), written(&mut connection));
            let received = crate::support::receive(&mut connection, &frame.encode_for(role));
            assert_eq!((received.events, received.error), (vec![], None), "{frame:?}");
            assert_eq!(
                (connection.close_info(), written(&mut connection)),
                (close_info, output),
                "{frame:?}"
            );
            assert_eq!(states(&connection), CLOSED);
        }
    }
}

#[test]
fn a_closure_is_final_once_the_connection_is_finished() {
    let ends: [Named; 5] = [
        ("end of stream", Connection::receive_eof),
        ("Close and end of stream", |connection| {
            connection.close(NORMAL, "").unwrap();
            connection.receive_eof();
        }),
        ("both Closes", |connection| drop(hear(connection, &[Frame::close(1000, "")]))),
        ("failure", |connection| connection.fail(NORMAL, "").unwrap()),
        ("broken rule", |connection| assert!(error_of(connection, &[Frame::continuation("")]).is_some())),
    ];
    for role in ROLES {
        for (end, reach) in ends {
            let mut connection = open(role);
            reach(&mut connection);
            written(&mut connection);
            connection.receive_eof();
            assert_eq!(states(&connection), CLOSED, "{end}");
            let close_info = connection.close_info();
            connection.handle_timeout(at(1));
            connection.handle_timeout(at(1000));
            connection.fail(CloseCode::POLICY_VIOLATION, "too late").unwrap();
            assert_eq!(connection.close_info(), close_info, "{end}");
            assert_eq!(states(&connection), CLOSED, "{end}");
            assert_eq!(connection.poll_timeout(), None, "{end}: nothing is left to wait for");
        }
    }
}

/// Asserts the close information of a connection.
fn assert_closure(
    connection: &Connection,
    code: u16,
    reason: &str,
    was_clean: bool,
    who: Side,
    cause: Cause,
    said: &str,
) {
    let close_info: CloseInfo = connection.close_info().unwrap();
    assert_eq!(
        (close_info.code.get(), &close_info.reason[..], close_info.was_clean),
        (code, reason, was_clean)
    );
    assert_eq!((close_info.initiator, close_info.cause), (who, cause));
    assert_eq!(close_info.to_string(), said);
}

#[test]
fn a_close_handshake_says_who_began() {
    for role in ROLES {
        let mut connection = open(role);
        connection.close(NORMAL, "done").unwrap();
        let said = "closed by this end, code 1006 abnormal closure, the other side's Close is missing";
        assert_closure(&connection, 1006, "", false, Side::Local, Cause::Close, said);
        hear(&mut connection, &[Frame::close(1000, "")]);
        let said = "closed by this end, code 1000 normal closure";
        assert_closure(&connection, 1000, "", true, Side::Local, Cause::Close, said);

        let mut connection = open(role);
        hear(&mut connection, &[Frame::close(1001, "off\nhome")]);
        let said = r"closed by the peer, code 1001 going away (off\nhome)";
        assert_closure(&connection, 1001, "off\nhome", true, Side::Remote, Cause::Close, said);
    }
}

#[test]
fn a_broken_rule_says_which() {
    for role in ROLES {
        let mut connection = open(role);
        let error = ProtocolError::UnexpectedContinuation;
        assert_eq!(error_of(&mut connection, &[Frame::continuation("")]), Some(error));
        let reason = "continuation without a message in progress";
        let said = "failed by this end because the peer sent a continuation without a message in progress, \
                    see RFC 6455 section 5.4, code 1002 protocol error \
                    (continuation without a message in progress)";
        assert_closure(&connection, 1002, reason, false, Side::Local, Cause::Protocol(error), said);
    }
}

#[test]
fn an_application_that_fails_a_connection_finds_its_own_words() {
    for role in ROLES {
        let mut connection = open(role);
        connection.fail(CloseCode::new(4000), "rude").unwrap();
        let said = "failed by this end, code 4000 private code (rude)";
        assert_closure(&connection, 4000, "rude", false, Side::Local, Cause::Application, said);
    }
}

#[test]
fn a_broken_stream_says_so() {
    for role in ROLES {
        let mut connection = open(role);
        connection.receive_eof();
        let said = "broken off: the peer's stream ended without a Close, code 1006 abnormal closure";
        assert_closure(&connection, 1006, "", false, Side::Remote, Cause::Eof, said);
    }
}

#[test]
fn every_missed_deadline_has_its_sentence() {
    for role in ROLES {
        let mut connection = open(role);
        connection.close(NORMAL, "").unwrap();
        written(&mut connection);
        connection.handle_timeout(Timestamp::ZERO);
        connection.handle_timeout(at(5));
        let said = "given up: the peer did not finish the closing handshake within close_timeout, \
                    code 1006 abnormal closure";
        assert_closure(&connection, 1006, "", false, Side::Local, Cause::Timeout(TimeoutKind::Close), said);

        let mut connection = open_with(role, |config| config.keepalive = None);
        hear(&mut connection, &[Frame::text("begun").unfinished()]);
        connection.handle_timeout(at(1));
        connection.handle_timeout(at(31));
        let close_info = connection.close_info().unwrap();
        assert_eq!(
            (close_info.code.get(), close_info.was_clean, close_info.initiator),
            (1008, false, Side::Local)
        );
        assert_eq!(close_info.cause, Cause::Timeout(TimeoutKind::Stall));
        let said = "given up: the peer began a message and sent no more of it within stall_timeout, \
                    code 1008 policy violation";
        assert!(close_info.to_string().starts_with(said), "{close_info}");

        let keepalive = Keepalive { interval: secs(1), timeout: secs(1), max_missed: Some(1) };
        let mut connection = open_with(role, |config| config.keepalive = Some(keepalive));
        connection.handle_timeout(at(1));
        connection.handle_timeout(at(2));
        let said = "given up: the peer did not answer the pings of keepalive in time, \
                    code 1006 abnormal closure";
        assert_closure(
            &connection,
            1006,
            "",
            false,
            Side::Local,
            Cause::Timeout(TimeoutKind::Keepalive),
            said,
        );

        let mut connection = open_with(role, |config| config.keepalive = None);
        connection.send("unread").unwrap();
        connection.handle_timeout(at(1));
        connection.handle_timeout(at(31));
        let said = "given up: the peer did not read the sent bytes within write_timeout, \
                    code 1006 abnormal closure";
        assert_closure(&connection, 1006, "", false, Side::Local, Cause::Timeout(TimeoutKind::Write), said);
    }
}

#[test]
fn a_pong_that_waits_is_written_before_the_connection_is_finished() {
    for role in ROLES {
        let mut connection = open(role);
        hear(&mut connection, &[Frame::ping("first")]);
        connection.send(&[0; 5000]).unwrap();
        hear(&mut connection, &[Frame::ping("second"), Frame::ping("third")]);
        connection.receive_eof();
        while !connection.is_finished() {
            let mut output = connection.transmit();
            bytes::Buf::advance(&mut output, 100);
        }
        assert!(!connection.wants_write());
        assert_eq!(connection.buffered(), 0);
        assert_eq!(connection.total_written(), connection.total_queued());
    }
}
