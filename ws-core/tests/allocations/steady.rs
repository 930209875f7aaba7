//! Allocations per message: none that stay, and none at all once a connection has warmed up.

use allocation_counter::measure;
use bytes::Buf;
use ws_core::{Event, Message, PreparedMessage, Role, Transmit, frame::Opcode};

use crate::{ROLES, config, connect, echo, frame, write};

#[test]
fn an_echo_in_its_steady_state_allocates_nothing() {
    let config = config(|_| {});
    for role in ROLES {
        let batch = frame(role, Opcode::Text, true, "Grüße an alle".as_bytes()).repeat(100);
        for (what, pristine, messages) in [
            ("20 bytes", frame(role, Opcode::Binary, true, &[1; 20]), 1),
            ("125 bytes of text", frame(role, Opcode::Text, true, &[b'x'; 125]), 1),
            ("16 KiB", frame(role, Opcode::Binary, true, &[2; 16 << 10]), 1),
            ("a hundred in one read", batch, 100),
            ("a ping", frame(role, Opcode::Ping, true, &[3; 125]), 0),
        ] {
            let mut connection = connect(role, &config);
            let mut input = pristine.clone();
            let mut round = || {
                input.copy_from_slice(&pristine);
                assert_eq!(echo(&mut connection, &mut input), messages);
                write(&mut connection);
            };
            (0..10).for_each(|_| round());
            let info = measure(|| (0..1000).for_each(|_| round()));
            assert_eq!(info.count_total, 0, "{role:?}, {what}");
        }
    }
}

#[test]
fn a_driver_that_takes_the_output_away_allocates_nothing_either() {
    let config = config(|_| {});
    for role in ROLES {
        let pristine = frame(role, Opcode::Binary, true, &[1; 1000]);
        let mut input = pristine.clone();
        let mut connection = connect(role, &config);
        let mut driver = Transmit::default();
        let mut round = || {
            input.copy_from_slice(&pristine);
            assert_eq!(echo(&mut connection, &mut input), 1);
            connection.take_transmit(&mut driver);
            while driver.has_remaining() {
                let len = driver.chunk().len();
                driver.advance(len);
                connection.written(len);
            }
        };
        (0..10).for_each(|_| round());
        let info = measure(|| (0..1000).for_each(|_| round()));
        assert_eq!(info.count_total, 0, "{role:?}");
    }
}

#[test]
fn memory_that_is_lent_serves_any_number_of_connections_and_comes_back() {
    let config = config(|_| {});
    for role in ROLES {
        let pristine = frame(role, Opcode::Binary, true, &[1; 1000]);
        let mut input = pristine.clone();
        let mut spare = Transmit::default();
        let mut connections: Vec<_> = (0..100).map(|_| connect(role, &config)).collect();
        let mut round = || {
            for connection in &mut connections {
                connection.lend_transmit(&mut spare);
                input.copy_from_slice(&pristine);
                assert_eq!(echo(connection, &mut input), 1);
                write(connection);
                connection.reclaim_transmit(&mut spare);
            }
        };
        let info = measure(&mut round);
        assert!(
            info.count_total <= 10 && info.bytes_current <= 4096,
            "{role:?}: one block for all: {info:?}"
        );
        let info = measure(|| (0..10).for_each(|_| round()));
        assert_eq!(info.count_total, 0, "{role:?}");
    }
}

#[test]
fn a_prepared_message_is_shared_and_not_copied_by_servers() {
    let config = config(|config| config.write_buffer_size = usize::MAX);
    let news = PreparedMessage::new(vec![1; 1 << 20]);
    let mut servers: Vec<_> = (0..100).map(|_| connect(Role::Server, &config)).collect();
    let info = measure(|| servers.iter_mut().for_each(|server| server.send_prepared(&news).unwrap()));
    assert!(info.bytes_max <= 100 * 512, "{info:?}");
    servers.iter_mut().for_each(write);
    let again = measure(|| {
        for server in &mut servers {
            server.send_prepared(&news).unwrap();
            write(server);
        }
    });
    assert_eq!(again.count_total, 0);
}

#[test]
fn a_large_owned_message_is_queued_by_a_server_without_a_copy() {
    let mut server = connect(Role::Server, &config(|_| {}));
    let message = vec![1; 1 << 20];
    let info = measure(|| server.send(message).unwrap());
    assert!(info.bytes_total <= 1024, "{info:?}");
}

#[test]
fn a_message_whole_in_the_input_costs_nothing() {
    let config = config(|_| {});
    for role in ROLES {
        let mut bytes = frame(role, Opcode::Text, true, &[b'x'; 1 << 20]);
        let mut connection = connect(role, &config);
        let info = measure(|| {
            let mut input = &mut bytes[..];
            let event = connection.receive(&mut input).unwrap();
            assert!(matches!(event, Some(Event::Message(Message::Text(_)))));
        });
        assert_eq!(info.count_total, 0, "{info:?}");
    }
}
