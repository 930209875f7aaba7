//! Memory of idle connections.

use std::sync::Arc;

use allocation_counter::measure;
use bytes::Buf;
use ws_core::{
    Config, Connection, HandshakeConfig, OriginPolicy, PreparedMessage, Role, Timestamp, client,
    frame::Opcode, server,
};

use crate::{ROLES, config, connect, echo, frame, kept, write};

/// Carries out an opening handshake as a driver does. Returns both ends.
fn handshake(config: &Arc<Config>, request: &client::Request) -> (Connection, Connection) {
    let mut asking = client::Handshake::new(
        request,
        &HandshakeConfig::default(),
        config.clone(),
        [7; 32],
        Timestamp::ZERO,
    )
    .unwrap();
    let mut bytes = asking.transmit().chunk().to_vec();
    let mut asked = server::Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
    let received = asked.receive(&mut &mut bytes[..]).unwrap().unwrap();
    let upgrade = received.upgrade(&OriginPolicy::default()).unwrap();
    let mut server = upgrade.accept(&server::Accept::new(), config.clone(), Timestamp::ZERO).unwrap();
    let mut bytes = server.transmit().chunk().to_vec();
    write(&mut server);
    let (client, _) = asking.receive(&mut &mut bytes[..]).unwrap().unwrap();
    (client, server)
}

/// Maximum heap memory of an idle connection in bytes.
const IDLE: usize = 1024;

#[test]
fn an_idle_connection_costs_at_most_1_kib_of_heap() {
    let config = config(|_| {});
    let request = client::Request::new("ws://localhost/".parse().unwrap()).header("X-Pad", &"x".repeat(5000));
    for role in ROLES {
        let mut idle = None;
        let info = measure(|| {
            let (client, server) = handshake(&config, &request);
            idle = Some(if role == Role::Client { client } else { server });
        });
        assert!(kept(info) <= IDLE, "{role:?}: {info:?}");
        // Includes the connection itself, which the driver stores.
        assert!(kept(info) + size_of::<Connection>() <= IDLE + 512, "{}", size_of::<Connection>());
    }
}

/// Sends and receives everything that makes a connection need memory.
fn traffic(connection: &mut Connection) {
    let role = connection.role();
    let big = vec![b'x'; 300_000];
    for bytes in [
        frame(role, Opcode::Text, true, &[b'x'; 20]),
        frame(role, Opcode::Binary, true, &[1; 60_000]),
        frame(role, Opcode::Ping, true, &[2; 125]),
        frame(role, Opcode::Text, false, &big),
        frame(role, Opcode::Ping, true, &[3; 125]),
        frame(role, Opcode::Continuation, true, &big),
    ] {
        for piece in bytes.chunks(1000) {
            let mut piece = piece.to_vec();
            echo(connection, &mut piece);
        }
        write(connection);
        // Half of it is written, and pongs wait behind it.
        connection.send(vec![4; 50_000]).unwrap();
        connection.send(&[5; 3000]).unwrap();
        for _ in 0..100 {
            echo(connection, &mut frame(role, Opcode::Ping, true, &[6; 125]));
        }
        connection.transmit().advance(1000);
        write(connection);
        connection.send_prepared(&PreparedMessage::new(vec![7; 10_000])).unwrap();
        write(connection);
        write(connection);
    }
}

/// Checks that a connection after traffic uses as little memory as an idle one, as soon as it has given back the memory
/// that it does not need.
fn expect_idle_after_traffic(give_back: fn(&mut Connection)) {
    let config = config(|config| config.stall_timeout = None);
    for role in ROLES {
        let mut idle = None;
        let info = measure(|| {
            let mut connection = connect(role, &config);
            traffic(&mut connection);
            give_back(&mut connection);
            idle = Some(connection);
        });
        assert!(kept(info) <= IDLE, "{role:?}: {info:?}");
    }
}

#[test]
fn after_traffic_and_shrink_to_fit_a_connection_is_as_small_as_before() {
    expect_idle_after_traffic(|connection| {
        assert!(!connection.wants_write());
        connection.shrink_to_fit();
    });
}

#[test]
fn after_traffic_the_next_keepalive_ping_gives_back_what_is_not_needed() {
    expect_idle_after_traffic(|connection| {
        connection.handle_timeout(connection.poll_timeout().unwrap());
        assert!(connection.wants_write(), "a ping");
        write(connection);
    });
}

#[test]
fn a_failed_connection_keeps_nothing_of_the_message_that_it_was_in() {
    let config = config(|_| {});
    for role in ROLES {
        for opcode in [Opcode::Text, Opcode::Binary] {
            let mut begun = frame(role, opcode, false, &[b'x'; 500_000]);
            let mut wrong = frame(role, opcode, true, b"");
            let mut connection = connect(role, &config);
            let info = measure(|| {
                assert_eq!(connection.receive(&mut &mut begun[..]), Ok(None));
                assert!(connection.receive(&mut &mut wrong[..]).is_err());
            });
            assert!(info.bytes_max >= 500_000 && kept(info) <= IDLE, "{info:?}");
        }
    }
}
