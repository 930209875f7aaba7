//! Keepalive with a peer that reads slowly, and with a peer that has vanished.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use ws_std::{Callbacks, Config, Keepalive, Sessions};
use ws_tests::{
    Transport,
    either::{Adapter, Pairing, Route, Running},
    eventually, let_pass,
    link::{Link, SMALL_BUFFER, listen_with_small_buffer},
    with_both_adapters,
};

with_both_adapters! {
    a_client_that_reads_slowly_gets_a_large_answer
    a_client_that_reads_slowly_gets_a_large_answer_by_tls
    a_client_that_reads_slowly_gets_a_large_answer_of_a_callback
    a_client_that_reads_slowly_gets_a_large_answer_of_a_callback_by_tls
    a_client_that_vanishes_ends_during_broadcasts
    a_client_that_vanishes_ends_during_broadcasts_by_tls
    a_client_that_vanishes_ends_when_the_network_refuses_broadcasts
    a_client_that_vanishes_ends_when_the_network_refuses_broadcasts_by_tls
}

/// Keepalive interval and timeout, and the write timeout: a fortieth of the defaults.
const SHORT: Duration = Duration::from_millis(500);
/// Size of the answer in bytes. At [`RATE`] it takes longer than an interval and a timeout.
const MUCH: usize = 2 << 20;
/// Read rate of the client in bytes per second.
const RATE: u32 = 1_500_000;

fn configure(config: &mut Config) {
    config.keepalive = Some(keepalive());
    config.write_timeout = Some(SHORT);
}

fn keepalive() -> Keepalive {
    let mut keepalive = Keepalive::default();
    (keepalive.interval, keepalive.timeout) = (SHORT, SHORT);
    keepalive
}

fn serve(adapter: Adapter, transport: Transport, route: Route) -> Running {
    let pairing = Pairing::of(adapter, transport);
    pairing.serve(route.configure(configure)).bind_socket(listen_with_small_buffer()).unwrap()
}

fn expect_large_answer(adapter: Adapter, transport: Transport, route: Route) {
    let server = serve(adapter, transport, route);
    Link::open_with_small_buffer(server.address(), transport).expect_answer_slowly(MUCH, RATE);
}

fn answer_much_by_callback(adapter: Adapter) -> Route {
    let answer = Callbacks::new().on_message(|session, _| session.send(vec![7; MUCH]).unwrap());
    Route::callbacks(adapter, answer)
}

fn a_client_that_reads_slowly_gets_a_large_answer(adapter: Adapter) {
    expect_large_answer(adapter, Transport::Plain, Route::answer_each(adapter, MUCH));
}

fn a_client_that_reads_slowly_gets_a_large_answer_by_tls(adapter: Adapter) {
    expect_large_answer(adapter, Transport::Tls, Route::answer_each(adapter, MUCH));
}

fn a_client_that_reads_slowly_gets_a_large_answer_of_a_callback(adapter: Adapter) {
    expect_large_answer(adapter, Transport::Plain, answer_much_by_callback(adapter));
}

fn a_client_that_reads_slowly_gets_a_large_answer_of_a_callback_by_tls(adapter: Adapter) {
    expect_large_answer(adapter, Transport::Tls, answer_much_by_callback(adapter));
}

/// Tolerance for a busy machine.
const LATE: Duration = Duration::from_millis(700);

/// Broadcasts messages of this size to a client that neither reads nor writes, until the server disconnects it.
fn expect_given_up(adapter: Adapter, transport: Transport, size: usize) {
    let everyone = Sessions::new();
    let (end, ended) = mpsc::channel();
    let callbacks = Callbacks::new()
        .sessions(&everyone)
        .on_disconnect(move |_, close_info| end.send((close_info.clone(), Instant::now())).unwrap());
    let server = serve(adapter, transport, Route::callbacks(adapter, callbacks));
    let _vanished = Link::open_with_small_buffer(server.address(), transport);
    eventually("it is there", || everyone.len() == 1);
    let began = Instant::now();
    let broadcasting = thread::spawn(move || {
        while !everyone.is_empty() {
            everyone.broadcast(vec![7; size]);
            let_pass(Duration::from_millis(10));
        }
    });
    let (close_info, end) = ended.recv_timeout(4 * SHORT + LATE).expect("an end");
    let took = end - began;
    assert!(took < 2 * SHORT + LATE, "{close_info} after {took:?}");
    assert!(!close_info.was_clean, "{close_info}");
    broadcasting.join().unwrap();
}

fn a_client_that_vanishes_ends_during_broadcasts(adapter: Adapter) {
    expect_given_up(adapter, Transport::Plain, 10);
}

fn a_client_that_vanishes_ends_during_broadcasts_by_tls(adapter: Adapter) {
    expect_given_up(adapter, Transport::Tls, 10);
}

fn a_client_that_vanishes_ends_when_the_network_refuses_broadcasts(adapter: Adapter) {
    expect_given_up(adapter, Transport::Plain, SMALL_BUFFER);
}

fn a_client_that_vanishes_ends_when_the_network_refuses_broadcasts_by_tls(adapter: Adapter) {
    expect_given_up(adapter, Transport::Tls, SMALL_BUFFER);
}
