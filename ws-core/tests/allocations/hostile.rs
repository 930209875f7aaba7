//! Memory that a peer can make a connection keep: in proportion to the bytes that it sent, and not to the sizes that
//! it announced.

use allocation_counter::measure;
use bytes::Buf;
use ws_core::{
    Delivery, Event, HandshakeConfig, Role, Timestamp, client,
    frame::{Opcode, apply_mask},
    server,
};

use crate::{KEY, ROLES, config, connect, frame, header, kept};

#[test]
fn one_byte_fragments_cost_at_most_twice_the_payload_and_4_kib() {
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
                // Growing by doubling moves each byte about once: the work is linear.
                assert!(info.bytes_total as usize <= 5 * len + 4096, "{len} bytes: {info:?}");
                // While it grows, the old and the new block may both exist.
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
                // The socket accepts nothing.
                assert!(connection.transmit().has_remaining());
            }
        });
        assert!(info.bytes_max <= 32 << 10, "{info:?}");
    }
}

#[test]
fn the_reader_of_a_head_keeps_no_more_than_its_limit() {
    for limit in [1000, 16 << 10] {
        let mut limits = HandshakeConfig::default();
        limits.max_head_size = limit;
        let request = client::Request::new("ws://localhost/".parse().unwrap());
        for piece in [1, 100, 64 << 10] {
            for line in [&b"GET /"[..], b"HTTP/1.1 101 x\r\nX: "] {
                let mut bytes = [line, &vec![b'a'; 1 << 20][..]].concat();
                let mut server = server::Handshake::new(&limits, Timestamp::ZERO);
                let mut client = client::Handshake::new(
                    &request,
                    &limits,
                    std::sync::Arc::default(),
                    [7; 32],
                    Timestamp::ZERO,
                )
                .unwrap();
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
    let mut client = client::Handshake::new(
        &request,
        &HandshakeConfig::default(),
        config(|_| {}),
        [7; 32],
        Timestamp::ZERO,
    )
    .unwrap();
    let mut bytes = [&b"HTTP/1.1 500 Oops\r\n\r\n"[..], &vec![b'a'; 10 << 20]].concat();
    let mut error = None;
    let info = measure(|| error = client.receive(&mut &mut bytes[..]).err());
    assert!(error.is_some() && info.bytes_max <= 16 << 10, "{info:?}");
}
