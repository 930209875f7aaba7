//! A peer that asks for the end of the connection still receives the answers, the Close, and the end of the stream.

use std::io::Read as _;

use ws_std::{Callbacks, Config};
use ws_tests::{
    Transport,
    either::{Adapter, Pairing, Route, Running},
    link::{Link, listen_with_small_buffer},
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    an_echo_loop_answers_everything_before_a_close
    callbacks_answer_everything_before_a_close
    an_echo_loop_answers_everything_before_a_close_by_tls
    callbacks_answer_everything_before_a_close_by_tls
    a_large_answer_arrives_whole_before_the_close
    a_large_answer_arrives_whole_before_the_close_by_tls
    a_large_answer_of_a_callback_arrives_whole_before_the_close
    a_large_answer_of_a_callback_arrives_whole_before_the_close_by_tls
    a_client_that_breaks_the_rules_reads_the_reason_and_a_clean_end
    a_client_that_breaks_the_rules_reads_the_reason_and_a_clean_end_by_tls
    a_violating_client_of_callbacks_reads_the_close_and_a_clean_end
    a_violating_client_of_callbacks_reads_the_close_and_a_clean_end_by_tls
}

fn echo_loop(adapter: Adapter) -> Route {
    Route::echo(adapter)
}

fn callbacks(adapter: Adapter) -> Route {
    let echo = Callbacks::new().on_message(|session, message| session.feed(message).unwrap());
    Route::callbacks(adapter, echo)
}

/// Starts a server with small send buffers.
fn serve(adapter: Adapter, transport: Transport, route: Route) -> Running {
    Pairing::of(adapter, transport).serve(route).bind_socket(listen_with_small_buffer()).unwrap()
}

/// Sends messages and a Close in one write, and reads only when the server can write no more.
fn expect_answers(adapter: Adapter, transport: Transport, route: fn(Adapter) -> Route) {
    let server = serve(adapter, transport, route(adapter));
    for count in [50_u8, 200] {
        Link::open_with_small_buffer(server.address(), transport).expect_echoes_before_close(count);
    }
}

fn an_echo_loop_answers_everything_before_a_close(adapter: Adapter) {
    expect_answers(adapter, Transport::Plain, echo_loop);
}

fn callbacks_answer_everything_before_a_close(adapter: Adapter) {
    expect_answers(adapter, Transport::Plain, callbacks);
}

fn an_echo_loop_answers_everything_before_a_close_by_tls(adapter: Adapter) {
    expect_answers(adapter, Transport::Tls, echo_loop);
}

fn callbacks_answer_everything_before_a_close_by_tls(adapter: Adapter) {
    expect_answers(adapter, Transport::Tls, callbacks);
}

/// Size of a message that exceeds the kernel's buffers.
const MUCH: usize = 16 << 20;

fn expect_large_answer(adapter: Adapter, transport: Transport, route: Route) {
    let server = Pairing::of(adapter, transport).serve(route).start();
    Link::open(server.address(), transport).expect_answer_before_close(MUCH);
}

fn answer_much_by_callback(adapter: Adapter) -> Route {
    let answer = Callbacks::new().on_message(|session, _| session.feed(vec![7; MUCH]).unwrap());
    Route::callbacks(adapter, answer)
}

fn a_large_answer_arrives_whole_before_the_close(adapter: Adapter) {
    expect_large_answer(adapter, Transport::Plain, Route::answer_each(adapter, MUCH));
}

fn a_large_answer_arrives_whole_before_the_close_by_tls(adapter: Adapter) {
    expect_large_answer(adapter, Transport::Tls, Route::answer_each(adapter, MUCH));
}

fn a_large_answer_of_a_callback_arrives_whole_before_the_close(adapter: Adapter) {
    expect_large_answer(adapter, Transport::Plain, answer_much_by_callback(adapter));
}

fn a_large_answer_of_a_callback_arrives_whole_before_the_close_by_tls(adapter: Adapter) {
    expect_large_answer(adapter, Transport::Tls, answer_much_by_callback(adapter));
}

/// Sends a frame with a reserved opcode and much data behind it. The server need not read the data and must not
/// answer with a reset.
fn expect_reason(adapter: Adapter, transport: Transport, route: Route) {
    let server = Pairing::of(adapter, transport).serve(route.configure(|config: &mut Config| {
        config.keepalive = None;
    }));
    let server = server.start();
    let broken = [Frame::new(3, "").masked().encode(), vec![0; 300_000]].concat();
    for turn in 0..50 {
        let mut link = Link::open(server.address(), transport);
        link.write(&broken);
        let close = Frame::read(&mut link);
        let close = close.unwrap_or_else(|error| panic!("turn {turn}: {error}")).expect("a Close");
        assert_eq!(close.code_and_reason().0, 1002);
        let end = link.read(&mut [0; 1000]);
        assert_eq!(end.unwrap_or_else(|error| panic!("turn {turn}: {error}")), 0);
    }
}

fn a_client_that_breaks_the_rules_reads_the_reason_and_a_clean_end(adapter: Adapter) {
    expect_reason(adapter, Transport::Plain, echo_loop(adapter));
}

fn a_client_that_breaks_the_rules_reads_the_reason_and_a_clean_end_by_tls(adapter: Adapter) {
    expect_reason(adapter, Transport::Tls, echo_loop(adapter));
}

fn a_violating_client_of_callbacks_reads_the_close_and_a_clean_end(adapter: Adapter) {
    expect_reason(adapter, Transport::Plain, callbacks(adapter));
}

fn a_violating_client_of_callbacks_reads_the_close_and_a_clean_end_by_tls(adapter: Adapter) {
    expect_reason(adapter, Transport::Tls, callbacks(adapter));
}
