//! The memory limit of a server: the sum over all connections, and the rule for the connection to end.

use ws_std::{Backlog, Callbacks, Config, Deflate, Delivery, Request, Response, Sessions};
use ws_tests::{
    Raw, besieging,
    either::{Adapter, Route, Running, Server},
    eventually,
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    the_largest_message_in_progress_is_closed_with_1013_and_the_others_go_on
    messages_in_progress_stay_within_the_limit_and_others_are_served
    compressed_messages_count_with_their_inflated_size
    messages_that_are_assembled_from_chunks_count
    output_beyond_the_limit_is_dropped_and_ends_its_connection
    of_two_responses_beyond_the_limit_the_older_is_cut
    broadcasts_to_slow_clients_count_once
    small_messages_never_count
}

const MIB: usize = 1 << 20;
/// Memory by which a server may exceed its limit until the next turns of its connections have ended.
const OVERSHOOT: usize = MIB;

/// Starts an echo server with a memory limit. Returns the function that returns the present memory and the number of
/// connections that were ended.
fn start(
    adapter: Adapter,
    limit: usize,
    configure: impl FnOnce(&mut Config),
) -> (Running, impl Fn() -> (usize, u64)) {
    let server = Server::new(adapter).memory_limit(limit).configure(configure);
    let monitor = server.monitor();
    let figures = move || {
        let stats = monitor.stats();
        (stats.memory, stats.evicted)
    };
    (server.mount("/", Route::echo(adapter)).start(), figures)
}

/// Returns a masked binary message of this size without its last byte.
fn unfinished(size: usize) -> Vec<u8> {
    let mut bytes = Frame::new(Frame::BINARY, vec![7; size]).masked().encode();
    bytes.pop();
    bytes
}

/// Returns the last byte of [`unfinished`].
fn last_byte(size: usize) -> [u8; 1] {
    [*Frame::new(Frame::BINARY, vec![7; size]).masked().encode().last().unwrap()]
}

fn expect_echo(raw: &mut Raw, text: &str) {
    raw.send(Frame::text(text));
    assert_eq!(raw.frame(), Frame::text(text));
}

fn the_largest_message_in_progress_is_closed_with_1013_and_the_others_go_on(adapter: Adapter) {
    let (server, figures) = start(adapter, 1_300_000, |_| {});
    let sizes = [300_000, 700_000, 300_000];
    let mut raws = sizes.map(|_| Raw::open(server.address(), "/"));
    for (index, (raw, size)) in raws.iter().zip(sizes).enumerate() {
        assert_eq!(figures().1, 0);
        raw.write(unfinished(size));
        let sum: usize = sizes[..=index].iter().sum();
        eventually("it counts", || figures().0 >= sum || figures().1 > 0);
    }
    let [first, largest, third] = &mut raws;
    assert_eq!(largest.frame().code_and_reason(), (1013, "the server is short of memory"));
    for raw in [first, third] {
        raw.write(last_byte(300_000));
        assert_eq!(raw.frame().payload, vec![7; 300_000]);
    }
    assert_eq!(figures().1, 1);
    drop(raws);
    eventually("no connection, no memory", || figures().0 == 0);
}

fn messages_in_progress_stay_within_the_limit_and_others_are_served(adapter: Adapter) {
    let limit = 8 * MIB;
    let (server, figures) = start(adapter, limit, |_| {});
    let mut polite = Raw::open(server.address(), "/");
    let begun = unfinished(MIB);
    let mut raws = Vec::new();
    for _ in 0..40 {
        let raw = Raw::open(server.address(), "/");
        // The server may close the connection meanwhile.
        let _ = raw.try_write(&begun);
        raws.push(raw);
        expect_echo(&mut polite, "still here");
        assert!(figures().0 <= limit + OVERSHOOT, "{:?}", figures());
    }
    eventually("the others are closed", || figures().1 >= 30);
    eventually("the limit is kept", || figures().0 <= limit);
    expect_echo(&mut polite, "at the end");
}

fn compressed_messages_count_with_their_inflated_size(adapter: Adapter) {
    let limit = 8 * MIB;
    let (server, figures) = start(adapter, limit, |config| config.deflate = Some(Deflate::default()));
    let mut polite = Raw::open(server.address(), "/");
    let mut raws = Vec::new();
    for _ in 0..20 {
        let raw = besieging::open_compressed(server.address());
        raw.write(besieging::begun_compressed());
        raws.push(raw);
        expect_echo(&mut polite, "still here");
        assert!(figures().0 <= limit + OVERSHOOT, "{:?}", figures());
    }
    eventually("the others are closed", || figures().1 >= 10);
    eventually("the limit is kept", || figures().0 <= limit);
    expect_echo(&mut polite, "at the end");
}

fn messages_that_are_assembled_from_chunks_count(adapter: Adapter) {
    let (server, figures) = start(adapter, 2 * MIB, |config| config.delivery = Delivery::Chunks);
    let raws = [(); 4].map(|()| Raw::open(server.address(), "/"));
    for raw in &raws {
        let _ = raw.try_write(unfinished(900_000));
    }
    eventually("two of four are closed", || figures().1 >= 2);
    eventually("the limit is kept", || figures().0 <= 2 * MIB);
    drop(raws);
    eventually("no connection, no memory", || figures().0 == 0);
}

fn output_beyond_the_limit_is_dropped_and_ends_its_connection(adapter: Adapter) {
    let server = Server::new(adapter).memory_limit(8 * MIB).mount("/", Route::answer_each(adapter, 32 * MIB));
    let monitor = server.monitor();
    let server = server.mount("/echo", Route::echo(adapter)).start();
    let mut polite = Raw::open(server.address(), "/echo");
    let mut raw = Raw::open(server.address(), "/");
    raw.send(Frame::text("much"));
    eventually("the connection is ended", || monitor.stats().evicted == 1);
    let received = read_all(&mut raw);
    assert!(received < 32 * MIB, "{received}");
    expect_echo(&mut polite, "still here");
    eventually("the memory is free", || monitor.stats().memory == 0);
}

fn of_two_responses_beyond_the_limit_the_older_is_cut(adapter: Adapter) {
    const SIZE: usize = 32 * MIB;
    // Each response has memory of its own.
    let page = |_: &Request| Response::new(200).body(vec![b'x'; SIZE]);
    let server = Server::new(adapter).memory_limit(48 * MIB).page("/", page);
    let monitor = server.monitor();
    let server = server.start();
    let mut raws = [(); 2].map(|()| {
        let mut raw = Raw::connect(server.address());
        raw.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(raw.head().starts_with("HTTP/1.1 200 "));
        raw
    });
    eventually("one is cut", || monitor.stats().evicted == 1);
    let [older, younger] = &mut raws;
    assert!(read_all(older) < SIZE);
    assert_eq!(read_all(younger), SIZE);
    eventually("the memory is free", || monitor.stats().memory == 0);
}

/// Reads to the end of the stream or to its reset, and returns the number of bytes.
fn read_all(raw: &mut Raw) -> usize {
    let mut buffer = vec![0; MIB];
    let mut received = 0;
    while let Ok(read @ 1..) = raw.read(&mut buffer) {
        received += read;
    }
    received
}

fn broadcasts_to_slow_clients_count_once(adapter: Adapter) {
    const SIZE: usize = 4 * MIB;
    const CLIENTS: usize = 16;
    let sessions = Sessions::new();
    let backlog = Backlog { bytes: 2 * SIZE, ..Backlog::default() };
    let callbacks = Callbacks::new().sessions(&sessions).backlog(backlog);
    let server = Server::new(adapter).memory_limit(8 * MIB).mount("/", Route::callbacks(adapter, callbacks));
    let monitor = server.monitor();
    let server = server.start();
    let mut raws = [(); CLIENTS].map(|()| Raw::open(server.address(), "/"));
    eventually("all sessions are here", || sessions.len() == CLIENTS);
    for byte in [1, 2] {
        sessions.broadcast(vec![byte; SIZE]);
    }
    for raw in &mut raws {
        for byte in [1, 2] {
            assert_eq!(raw.frame().payload, vec![byte; SIZE]);
        }
    }
    assert_eq!(monitor.stats().evicted, 0);
}

fn small_messages_never_count(adapter: Adapter) {
    let (server, figures) = start(adapter, 0, |_| {});
    let mut raw = Raw::open(server.address(), "/");
    for _ in 0..100 {
        expect_echo(&mut raw, "small");
        assert_eq!(figures(), (0, 0));
    }
    // One byte of a message of 1 MiB.
    raw.write_and_see_read(&unfinished(MIB)[..15]);
    assert_eq!(figures(), (0, 0));
}
