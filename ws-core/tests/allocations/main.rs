//! What connections cost in memory: nothing per message, little when idle, and never what a peer merely
//! claims. Counted by an allocator that counts for each thread alone, so that tests do not disturb each
//! other.

use std::{io::IoSlice, sync::Arc};

use allocation_counter::{AllocationInfo, measure};
use bytes::Buf;
use ws_core::{
    Config, Connection, Delivery, Event, Message, PreparedMessage, Role, Timestamp, client,
    frame::{Header, Opcode, apply_mask},
    server,
};

const ROLES: [Role; 2] = [Role::Client, Role::Server];
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn config(change: impl FnOnce(&mut Config)) -> Arc<Config> {
    let mut config = Config::default();
    change(&mut config);
    Arc::new(config)
}

fn connect(role: Role, config: &Arc<Config>) -> Connection {
    match role {
        Role::Client => Connection::client(config.clone(), [7; 32], Timestamp::ZERO),
        Role::Server => Connection::server(config.clone(), Timestamp::ZERO),
    }
}

/// A header to an endpoint of this role.
fn header(receiver: Role, opcode: Opcode, fin: bool, len: u64) -> Vec<u8> {
    let masking_key = (receiver == Role::Server).then_some(KEY);
    Header { fin, masking_key, ..Header::new(opcode, len) }.encode().to_vec()
}

fn frame(receiver: Role, opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(receiver, opcode, fin, payload.len() as u64);
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    if receiver == Role::Server {
        apply_mask(&mut bytes[start..], KEY);
    }
    bytes
}

/// Gives everything in `bytes`, which is unmasked in place, and sends back each message. Allocates nothing by
/// itself, and gives the number of messages.
fn echo(connection: &mut Connection, mut bytes: &mut [u8]) -> usize {
    let mut count = 0;
    while let Some(event) = connection.receive(&mut bytes).unwrap() {
        if let Event::Message(message) = event {
            connection.send(message).unwrap();
            count += 1;
        }
    }
    count
}

/// Writes everything into nowhere.
fn write(connection: &mut Connection) {
    let mut buffer = connection.transmit();
    while buffer.has_remaining() {
        let len = buffer.chunk().len();
        buffer.advance(len);
    }
}

/// What stays allocated, in bytes.
fn kept(info: AllocationInfo) -> usize {
    usize::try_from(info.bytes_current).unwrap_or(0)
}

/// Both ends of an opening handshake, as a driver would do it.
fn shake_hands(config: &Arc<Config>, request: &client::Request) -> (Connection, Connection) {
    let mut asking = client::Handshake::new(request, config.clone(), [7; 32], Timestamp::ZERO).unwrap();
    let mut bytes = asking.transmit().chunk().to_vec();
    let mut asked = server::Handshake::new(config.clone(), Timestamp::ZERO);
    let received = asked.receive(&mut &mut bytes[..]).unwrap().unwrap();
    let upgrade = received.upgrade(&config.origin).unwrap();
    let mut server = upgrade.accept(&server::Accept::new(), config.clone(), Timestamp::ZERO).unwrap();
    let mut bytes = server.transmit().chunk().to_vec();
    write(&mut server);
    let (client, _) = asking.receive(&mut &mut bytes[..]).unwrap().unwrap();
    (client, server)
}

/// The heap that an idle connection may cost, in bytes.
const IDLE: usize = 1024;

#[test]
fn an_idle_connection_costs_at_most_1_kib_of_heap() {
    let config = config(|_| {});
    let request = client::Request::new("ws://localhost/".parse().unwrap()).header("X-Pad", &"x".repeat(5000));
    for role in ROLES {
        let mut idle = None;
        let info = measure(|| {
            let (client, server) = shake_hands(&config, &request);
            idle = Some(if role == Role::Client { client } else { server });
        });
        assert!(kept(info) <= IDLE, "{role:?}: {info:?}");
        // With the connection itself, wherever the driver keeps it.
        assert!(kept(info) + size_of::<Connection>() <= IDLE + 512, "{}", size_of::<Connection>());
    }
}

/// Everything that makes a connection need memory, one after the other.
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
        // Half of it written, pongs waiting behind.
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

#[test]
fn after_traffic_a_connection_that_gives_back_what_it_does_not_need_costs_as_little() {
    let config = config(|config| config.stall_timeout = None);
    for role in ROLES {
        let mut idle = None;
        let info = measure(|| {
            let mut connection = connect(role, &config);
            traffic(&mut connection);
            assert!(!connection.wants_write());
            connection.release();
            idle = Some(connection);
        });
        assert!(kept(info) <= IDLE, "{role:?}: {info:?}");
    }
}

#[test]
fn after_traffic_the_next_keepalive_ping_gives_back_what_is_not_needed() {
    let config = config(|config| config.stall_timeout = None);
    for role in ROLES {
        let mut idle = None;
        let info = measure(|| {
            let mut connection = connect(role, &config);
            traffic(&mut connection);
            connection.handle_timeout(connection.poll_timeout().unwrap());
            assert!(connection.wants_write(), "a ping");
            write(&mut connection);
            idle = Some(connection);
        });
        assert!(kept(info) <= IDLE, "{role:?}: {info:?}");
    }
}

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
        let mut driver = ws_core::Transmit::default();
        let mut round = || {
            input.copy_from_slice(&pristine);
            assert_eq!(echo(&mut connection, &mut input), 1);
            connection.take_transmit(&mut driver);
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = driver.chunks_vectored(&mut slices);
            let len = slices[..filled].iter().map(|slice| slice.len()).sum();
            driver.advance(len);
        };
        (0..10).for_each(|_| round());
        let info = measure(|| (0..1000).for_each(|_| round()));
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
fn a_message_in_one_byte_fragments_costs_at_most_twice_its_payload_and_4_kib() {
    let config = config(|config| config.max_fragments = usize::MAX);
    for role in ROLES {
        for opcode in [Opcode::Text, Opcode::Binary] {
            for len in [1, 100, 1000, 65_537, 100_000, 131_073, 300_000] {
                let mut bytes = frame(role, opcode, false, b"x");
                for _ in 1..len {
                    bytes.extend(frame(role, Opcode::Continuation, false, b"x"));
                }
                let mut connection = connect(role, &config);
                let info = measure(|| assert_eq!(connection.receive(&mut &mut bytes[..]), Ok(None)));
                assert!(kept(info) <= 2 * len + 4096, "{len} bytes: {info:?}");
                // While it grows, the old and the new place may both be there.
                assert!(info.bytes_max as usize <= 3 * len + 4096, "{len} bytes: {info:?}");
                let mut end = frame(role, Opcode::Continuation, true, b"");
                let mut input = &mut end[..];
                let Ok(Some(Event::Message(message))) = connection.receive(&mut input) else { panic!() };
                assert_eq!(message.len(), len);
            }
        }
    }
}

#[test]
fn a_frame_that_comes_in_pieces_costs_at_most_twice_what_came() {
    let config = config(|config| config.max_message_size = usize::MAX);
    for role in ROLES {
        for opcode in [Opcode::Text, Opcode::Binary] {
            for piece in [1, 100, 4000] {
                let mut head = header(role, opcode, true, 1 << 40);
                let mut bytes = vec![b'x'; 200_000];
                if role == Role::Server {
                    apply_mask(&mut bytes, KEY);
                }
                let mut connection = connect(role, &config);
                let info = measure(|| {
                    assert_eq!(connection.receive(&mut &mut head[..]), Ok(None));
                    for mut piece in bytes.chunks_mut(piece) {
                        assert_eq!(connection.receive(&mut piece), Ok(None));
                    }
                });
                assert!(kept(info) <= 2 * bytes.len() + 4096, "{info:?}");
            }
        }
    }
}

#[test]
fn empty_fragments_cost_no_memory() {
    for role in ROLES {
        for delivery in [Delivery::Messages, Delivery::Chunks] {
            let config = config(|config| {
                config.max_fragments = usize::MAX;
                config.delivery = delivery;
            });
            let mut first = frame(role, Opcode::Text, false, b"");
            let mut bytes = frame(role, Opcode::Continuation, false, b"").repeat(300_000);
            let mut connection = connect(role, &config);
            let info = measure(|| {
                assert_eq!(connection.receive(&mut &mut first[..]), Ok(None));
                assert_eq!(connection.receive(&mut &mut bytes[..]), Ok(None));
            });
            assert!(info.bytes_max <= 256, "{info:?}");
        }
    }
}

#[test]
fn a_claimed_length_costs_nothing_before_its_bytes_come() {
    for (limit, claimed) in
        [(usize::MAX, 1 << 62), (usize::MAX, (1 << 63) - 1), (1 << 20, (1 << 20) - 1), (1 << 30, 1 << 30)]
    {
        let config = config(|config| config.max_message_size = limit);
        for role in ROLES {
            for opcode in [Opcode::Text, Opcode::Binary] {
                for arrived in [0, 1, 1024] {
                    let mut bytes = header(role, opcode, true, claimed);
                    let start = bytes.len();
                    bytes.resize(start + arrived, b'x');
                    if role == Role::Server {
                        apply_mask(&mut bytes[start..], KEY);
                    }
                    let mut connection = connect(role, &config);
                    let info = measure(|| assert_eq!(connection.receive(&mut &mut bytes[..]), Ok(None)));
                    assert!(info.bytes_max as usize <= 2 * arrived + 512, "{claimed} claimed: {info:?}");
                }
            }
        }
    }
}

#[test]
fn in_chunks_memory_does_not_grow_with_the_message() {
    let config = config(|config| {
        config.delivery = Delivery::Chunks;
        config.max_message_size = usize::MAX;
    });
    for role in ROLES {
        for opcode in [Opcode::Text, Opcode::Binary] {
            let mut head = header(role, opcode, true, 10 << 20);
            let mut bytes = vec![b'x'; 10 << 20];
            if role == Role::Server {
                apply_mask(&mut bytes, KEY);
            }
            let mut connection = connect(role, &config);
            let mut delivered = 0;
            let info = measure(|| {
                assert_eq!(connection.receive(&mut &mut head[..]), Ok(None));
                for mut piece in bytes.chunks_mut(64 << 10) {
                    while let Some(event) = connection.receive(&mut piece).unwrap() {
                        let Event::Chunk(chunk) = event else { panic!("{event:?}") };
                        delivered += chunk.payload.len();
                    }
                }
            });
            assert_eq!(delivered, 10 << 20);
            assert!(info.bytes_max <= 512, "{info:?}");
        }
    }
}

#[test]
fn a_flood_of_pings_whose_answers_nobody_reads_stays_small() {
    let config = config(|_| {});
    for role in ROLES {
        let pristine = frame(role, Opcode::Ping, true, &[1; 125]).repeat(1000);
        let mut bytes = pristine.clone();
        let mut connection = connect(role, &config);
        let info = measure(|| {
            for _ in 0..400 {
                bytes.copy_from_slice(&pristine);
                let mut input = &mut bytes[..];
                while let Some(event) = connection.receive(&mut input).unwrap() {
                    assert!(matches!(event, Event::Ping(_)));
                }
                // The socket takes nothing.
                assert!(connection.transmit().has_remaining());
            }
        });
        assert!(info.bytes_max <= 32 << 10, "{info:?}");
    }
}

#[test]
fn the_reader_of_a_head_keeps_no_more_than_its_limit() {
    for limit in [1000, 16 << 10] {
        let config = config(|config| config.max_head_size = limit);
        let request = client::Request::new("ws://localhost/".parse().unwrap());
        for piece in [1, 100, 64 << 10] {
            for line in [&b"GET /"[..], b"HTTP/1.1 101 x\r\nX: "] {
                let mut bytes = [line, &vec![b'a'; 1 << 20][..]].concat();
                let mut server = server::Handshake::new(config.clone(), Timestamp::ZERO);
                let mut client =
                    client::Handshake::new(&request, config.clone(), [7; 32], Timestamp::ZERO).unwrap();
                let info = measure(|| {
                    let mut pieces = bytes.chunks_mut(piece);
                    assert!(pieces.any(|mut piece| server.receive(&mut piece).is_err()));
                });
                assert!(kept(info) <= 2 * limit && info.bytes_max as usize <= 3 * limit, "{info:?}");
                let info = measure(|| {
                    let mut pieces = bytes.chunks_mut(piece);
                    assert!(pieces.any(|mut piece| client.receive(&mut piece).is_err()));
                });
                assert!(kept(info) <= 2 * limit && info.bytes_max as usize <= 3 * limit, "{info:?}");
            }
        }
    }
}

#[test]
fn the_body_of_a_refusal_is_kept_up_to_4_kib() {
    let request = client::Request::new("ws://localhost/".parse().unwrap());
    let mut client = client::Handshake::new(&request, config(|_| {}), [7; 32], Timestamp::ZERO).unwrap();
    let mut bytes = [&b"HTTP/1.1 500 Oops\r\n\r\n"[..], &vec![b'a'; 10 << 20]].concat();
    let mut error = None;
    let info = measure(|| error = client.receive(&mut &mut bytes[..]).err());
    assert!(error.is_some() && info.bytes_max <= 16 << 10, "{info:?}");
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
