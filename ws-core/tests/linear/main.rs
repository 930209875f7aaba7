//! The work grows linearly with the input, regardless of the pieces in which the input arrives. The tests count the
//! allocated bytes, which are the bytes that are copied when a buffer grows, at a size and at four and sixteen times
//! that size. Code that allocates nothing has no buffer that could grow. The counters are separate for each thread.
//! `tests/linear_work.sh` counts instructions in the same way.

use std::sync::Arc;

use allocation_counter::measure;
use ws_core::{
    Config, Connection, Delivery, HandshakeConfig, Role, Timestamp, client,
    frame::{Header, Opcode, apply_mask},
    server,
};

const ROLES: [Role; 2] = [Role::Client, Role::Server];
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
/// Sizes of the pieces. The last one is the whole input.
const PIECES: [usize; 5] = [1, 2, 7, 1000, usize::MAX];

/// The counters.
#[derive(Clone, Copy, Debug)]
struct Work {
    /// Total number of allocated bytes.
    bytes: u64,
    /// Number of allocations.
    allocations: u64,
    /// Maximum number of bytes that were allocated at the same time.
    most: u64,
}

/// Counts while `take` takes this input piece by piece.
fn work(mut input: Vec<u8>, piece: usize, mut take: impl FnMut(&mut &mut [u8])) -> Work {
    let len = input.len();
    let info = measure(|| {
        for mut piece in input.chunks_mut(piece.min(len)) {
            take(&mut piece);
            assert!(piece.is_empty());
        }
    });
    Work { bytes: info.bytes_total, allocations: info.count_total, most: info.bytes_max }
}

/// Asserts that the work for inputs of one, four and sixteen times a size is proportional to them. A buffer that
/// grows by doubling costs between two and five bytes for each byte, depending on the position of the last doubling.
/// This is the reason for the factor. Quadratic work would exceed it sixteenfold in the end.
fn assert_linear(what: &str, size: usize, work: impl Fn(usize) -> Work) {
    const PHASE: f64 = 2.5;
    // Blocks of a size that does not depend on the input.
    const FREE: u64 = 512;
    let once = work(size);
    for times in [4, 16] {
        let more = work(size * times);
        let bound = |count: u64| (count + FREE) as f64 * times as f64 * PHASE;
        let is_linear = more.bytes as f64 <= bound(once.bytes) && more.most as f64 <= bound(once.most);
        assert!(is_linear, "{what}: {once:?}, and for {times} times as much {more:?}");
        // One more for each doubling, of the bytes and of the lines of a head, and none in proportion.
        assert!(more.allocations <= once.allocations + 10, "{what}: {once:?}, {times} times: {more:?}");
    }
}

fn config(delivery: Delivery) -> Arc<Config> {
    let mut config = Config::default();
    config.max_message_size = usize::MAX;
    config.max_fragments = usize::MAX;
    config.delivery = delivery;
    Arc::new(config)
}

fn limits() -> HandshakeConfig {
    let mut limits = HandshakeConfig::default();
    limits.max_head_size = usize::MAX;
    limits.max_headers = usize::MAX;
    limits
}

fn connection(role: Role, delivery: Delivery) -> Connection {
    match role {
        Role::Client => Connection::client(config(delivery), [7; 32], Timestamp::ZERO),
        Role::Server => Connection::server(config(delivery), Timestamp::ZERO),
    }
}

/// Returns a frame to an endpoint of this role.
fn frame(receiver: Role, opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let masking_key = (receiver == Role::Server).then_some(KEY);
    let header = Header { fin, masking_key, ..Header::new(opcode, payload.len() as u64) };
    let mut bytes = header.encode().to_vec();
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    if receiver == Role::Server {
        apply_mask(&mut bytes[start..], KEY);
    }
    bytes
}

/// Returns a message in fragments of this size.
fn fragments(receiver: Role, opcode: Opcode, payload: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let count = payload.len().div_ceil(size);
    for (number, fragment) in payload.chunks(size).enumerate() {
        let opcode = if number == 0 { opcode } else { Opcode::Continuation };
        bytes.extend(frame(receiver, opcode, number + 1 == count, fragment));
    }
    bytes
}

/// Returns text of this size in bytes, with characters of one, two, three and four bytes.
fn text(len: usize) -> Vec<u8> {
    let mut text = "aü€😀".repeat(len / 10).into_bytes();
    text.resize(len, b'x');
    text
}

/// Passes this input to a connection, and counts.
fn receive(role: Role, delivery: Delivery, input: Vec<u8>, piece: usize) -> Work {
    let mut connection = connection(role, delivery);
    work(input, piece, |input| while connection.receive(input).expect("no broken rule").is_some() {})
}

#[test]
fn a_message_costs_the_same_for_each_byte_however_it_is_cut() {
    for role in ROLES {
        for opcode in [Opcode::Text, Opcode::Binary] {
            for piece in PIECES {
                let what = format!("{role:?}, {opcode:?}, pieces of {piece}");
                assert_linear(&what, 4096, |size| {
                    receive(role, Delivery::Messages, frame(role, opcode, true, &text(size)), piece)
                });
            }
        }
    }
}

#[test]
fn the_cost_per_byte_of_small_fragments_is_independent_of_their_size() {
    for role in ROLES {
        for opcode in [Opcode::Text, Opcode::Binary] {
            for fragment in [1, 3, 125, 126] {
                for piece in PIECES {
                    let what = format!("{role:?}, {opcode:?}, fragments of {fragment}, pieces of {piece}");
                    assert_linear(&what, 2048, |size| {
                        let stream = fragments(role, opcode, &text(size), fragment);
                        receive(role, Delivery::Messages, stream, piece)
                    });
                }
            }
        }
    }
}

#[test]
fn a_message_costs_no_more_than_five_bytes_for_each_byte_of_its_payload() {
    for role in ROLES {
        for opcode in [Opcode::Text, Opcode::Binary] {
            for (fragment, piece) in [(1, 1), (1, usize::MAX), (usize::MAX, 1), (126, 7)] {
                let size = 100_000;
                let stream = fragments(role, opcode, &text(size), fragment.min(size));
                let work = receive(role, Delivery::Messages, stream, piece);
                let what = format!("{role:?}, {opcode:?}, fragments of {fragment}, pieces of {piece}");
                assert!(work.bytes <= 5 * size as u64 + 1024, "{what}: {work:?}");
                assert!(work.allocations <= 24, "{what}: {work:?}");
            }
        }
    }
}

#[test]
fn a_message_in_chunks_allocates_nothing_for_what_lies_in_the_input() {
    for role in ROLES {
        for size in [10_000, 20_000, 40_000] {
            for (fragment, piece) in [(1, 1), (1, usize::MAX), (usize::MAX, 1000), (126, usize::MAX)] {
                let payload = vec![b'x'; size];
                for opcode in [Opcode::Text, Opcode::Binary] {
                    let stream = fragments(role, opcode, &payload, fragment.min(size));
                    let work = receive(role, Delivery::Chunks, stream, piece);
                    assert!(work.allocations <= 1, "{opcode:?} in fragments of {fragment}: {work:?}");
                }
            }
        }
    }
}

#[test]
fn small_messages_and_pings_cost_the_same_for_each_however_many_come() {
    for role in ROLES {
        for (opcode, payload) in
            [(Opcode::Text, &b"hello"[..]), (Opcode::Pong, b"unasked"), (Opcode::Ping, b"?")]
        {
            for piece in PIECES {
                let count = |size: usize| {
                    let mut connection = connection(role, Delivery::Messages);
                    let one = frame(role, opcode, true, payload);
                    let work = work(one.repeat(size), piece, |input| {
                        while connection.receive(input).expect("no broken rule").is_some() {}
                    });
                    // A message that is cut has to be assembled, and its memory belongs to the application.
                    assert!(work.allocations <= 4 * size as u64 + 16, "{opcode:?}: {work:?}");
                    assert!(work.most <= 16 << 10, "{opcode:?}: {work:?}");
                    work
                };
                let (once, twice) = (count(1000), count(2000));
                assert!(twice.bytes <= 2 * once.bytes + 16_384, "{opcode:?}, {piece}: {once:?}, {twice:?}");
            }
        }
    }
}

/// Returns a head of this size, with one field or with many.
fn head(first_line: &str, field: &str, size: usize) -> Vec<u8> {
    let mut head = format!("{first_line}\r\nHost: x\r\n").into_bytes();
    while head.len() < size {
        head.extend_from_slice(field.as_bytes());
    }
    head
}

#[test]
fn a_head_costs_the_same_for_each_byte_however_it_is_cut() {
    let request = client::Request::new("ws://localhost/".parse().expect("a URL"));
    for (field, what) in [("X-Many: 0123456789\r\n", "many fields"), ("x", "one field")] {
        for piece in PIECES {
            assert_linear(&format!("a request of {what}, pieces of {piece}"), 1024, |size| {
                let mut server = server::Handshake::new(&limits(), Timestamp::ZERO);
                work(head("GET / HTTP/1.1", field, size), piece, |input| {
                    assert!(server.receive(input).expect("no broken rule").is_none());
                })
            });
            assert_linear(&format!("a response of {what}, pieces of {piece}"), 1024, |size| {
                let config = config(Delivery::Messages);
                let client = client::Handshake::new(&request, &limits(), config, [7; 32], Timestamp::ZERO);
                let mut client = client.expect("a request that can be sent");
                work(head("HTTP/1.1 101 x", field, size), piece, |input| {
                    assert!(client.receive(input).expect("no broken rule").is_none());
                })
            });
        }
    }
}

#[test]
fn the_end_of_a_head_costs_as_much_as_the_head() {
    for piece in PIECES {
        assert_linear(&format!("pieces of {piece}"), 1024, |size| {
            let mut server = server::Handshake::new(&limits(), Timestamp::ZERO);
            let mut request = head("GET / HTTP/1.1", "X-Many: 0123456789\r\n", size);
            request.extend_from_slice(b"\r\n");
            work(request, piece, |input| drop(server.receive(input).expect("no broken rule")))
        });
    }
}

/// The scenario whose instructions `tests/linear_work.sh` counts.
#[test]
#[ignore = "tests/linear_work.sh runs it below valgrind"]
fn one_scenario_of_one_size() {
    let variable = |name| std::env::var(name).expect("SCENARIO and SIZE");
    let size: usize = variable("SIZE").parse().expect("a number");
    let role = Role::Server;
    let messages = |stream, piece| _ = receive(role, Delivery::Messages, stream, piece);
    match &*variable("SCENARIO") {
        "whole_text" => messages(frame(role, Opcode::Text, true, &text(size)), usize::MAX),
        "bytes_of_text" => messages(frame(role, Opcode::Text, true, &text(size)), 1),
        "bytes_of_binary" => messages(frame(role, Opcode::Binary, true, &text(size)), 1),
        "fragments_of_text" => messages(fragments(role, Opcode::Text, &text(size), 1), 1),
        "fragments_of_binary" => messages(fragments(role, Opcode::Binary, &text(size), 1), 1),
        "bytes_of_chunks" => {
            let _ = receive(role, Delivery::Chunks, frame(role, Opcode::Text, true, &text(size)), 1);
        }
        "request" => {
            let mut server = server::Handshake::new(&limits(), Timestamp::ZERO);
            let request = [&head("GET / HTTP/1.1", "X-Many: 0123456789\r\n", size)[..], b"\r\n"].concat();
            work(request, 1, |input| drop(server.receive(input).expect("no broken rule")));
        }
        "response" => {
            let request = client::Request::new("ws://localhost/".parse().expect("a URL"));
            let config = config(Delivery::Messages);
            let client = client::Handshake::new(&request, &limits(), config, [7; 32], Timestamp::ZERO);
            let mut client = client.expect("a request that can be sent");
            work(head("HTTP/1.1 101 x", "X-Many: 0123456789\r\n", size), 1, |input| {
                drop(client.receive(input).expect("no broken rule"));
            });
        }
        other => panic!("{other} is no scenario"),
    }
}
