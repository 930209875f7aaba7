//! A peer that asks for the end of the connection still receives the answers, the Close, and the end of the stream.

use std::io::Read as _;

use ws_std::{Callbacks, Config};
use ws_tests::{
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

fn pairing(adapter: Adapter, secure: bool) -> Pairing {
    Pairing { client: adapter, server: adapter, secure }
}

fn echo_loop(adapter: Adapter) -> Route {
    Route::echo(adapter)
}

fn callbacks(adapter: Adapter) -> Route {
    let echo = Callbacks::new().on_message(|session, message| session.feed(message).unwrap());
    Route::callbacks(adapter, echo)
}

/// Starts a server whose connections have a small send buffer.
fn serve(adapter: Adapter, secure: bool, route: Route) -> Running {
    pairing(adapter, secure).serve(route).bind_socket(listen_with_small_buffer()).unwrap()
}

/// Sends messages and a Close in one write, and reads only when the server can write no more.
fn expect_answers(adapter: Adapter, secure: bool, route: fn(Adapter) -> Route) {
    let server = serve(adapter, secure, route(adapter));
    for count in [50_u8, 200] {
        let question = |number| Frame::new(Frame::BINARY, vec![number; 1000]);
        let mut link = Link::open_with_small_buffer(server.address(), secure);
        let mut questions: Vec<u8> =
            (0..count).flat_map(|number| question(number).masked().encode()).collect();
        questions.extend(Frame::close(1000, "").masked().encode());
        link.write(questions);
        link.wait_until_full();
        for number in 0..count {
            assert!(link.frame() == question(number), "answer {number} of {count}");
        }
        assert_eq!(link.frame().code_and_reason().0, 1000);
        assert_eq!(link.next_frame(), None);
    }
}

fn an_echo_loop_answers_everything_before_a_close(adapter: Adapter) {
    expect_answers(adapter, false, echo_loop);
}

fn callbacks_answer_everything_before_a_close(adapter: Adapter) {
    expect_answers(adapter, false, callbacks);
}

fn an_echo_loop_answers_everything_before_a_close_by_tls(adapter: Adapter) {
    expect_answers(adapter, true, echo_loop);
}

fn callbacks_answer_everything_before_a_close_by_tls(adapter: Adapter) {
    expect_answers(adapter, true, callbacks);
}

/// Size of a message that exceeds the kernel's buffers.
const MUCH: usize = 16 << 20;

fn expect_large_answer(adapter: Adapter, secure: bool, route: Route) {
    let server = pairing(adapter, secure).serve(route).start();
    let mut link = Link::open(server.address(), secure);
    link.write([Frame::text("all").masked().encode(), Frame::close(1000, "").masked().encode()].concat());
    link.wait_until_full();
    assert!(link.frame() == Frame::new(Frame::BINARY, vec![7; MUCH]));
    assert_eq!(link.frame().code_and_reason().0, 1000);
    assert_eq!(link.next_frame(), None);
}

fn answer_much(adapter: Adapter) -> Route {
    match adapter {
        Adapter::Std => Route::Std(ws_std::Route::new(|_, mut ws| {
            while ws.receive()?.is_some() {
                ws.feed(vec![7; MUCH])?;
            }
            Ok(())
        })),
        Adapter::Smol => Route::Smol(ws_smol::Route::new(|_, mut ws| async move {
            while ws.receive().await?.is_some() {
                ws.feed(vec![7; MUCH]).await?;
            }
            Ok(())
        })),
    }
}

fn answer_much_by_callback(adapter: Adapter) -> Route {
    let answer = Callbacks::new().on_message(|session, _| session.feed(vec![7; MUCH]).unwrap());
    Route::callbacks(adapter, answer)
}

fn a_large_answer_arrives_whole_before_the_close(adapter: Adapter) {
    expect_large_answer(adapter, false, answer_much(adapter));
}

fn a_large_answer_arrives_whole_before_the_close_by_tls(adapter: Adapter) {
    expect_large_answer(adapter, true, answer_much(adapter));
}

fn a_large_answer_of_a_callback_arrives_whole_before_the_close(adapter: Adapter) {
    expect_large_answer(adapter, false, answer_much_by_callback(adapter));
}

fn a_large_answer_of_a_callback_arrives_whole_before_the_close_by_tls(adapter: Adapter) {
    expect_large_answer(adapter, true, answer_much_by_callback(adapter));
}

/// Sends a frame with a reserved opcode and much data behind it. The server need not read the data and must not
/// answer with a reset.
fn expect_reason(adapter: Adapter, secure: bool, route: Route) {
    let server = pairing(adapter, secure).serve(route.configure(|config: &mut Config| {
        config.keepalive = None;
    }));
    let server = server.start();
    let broken = [Frame::new(3, "").masked().encode(), vec![0; 300_000]].concat();
    for turn in 0..50 {
        let mut link = Link::open(server.address(), secure);
        link.write(&broken);
        let close = Frame::read(&mut link);
        let close = close.unwrap_or_else(|error| panic!("turn {turn}: {error}")).expect("a Close");
        assert_eq!(close.code_and_reason().0, 1002);
        let end = link.read(&mut [0; 1000]);
        assert_eq!(end.unwrap_or_else(|error| panic!("turn {turn}: {error}")), 0);
    }
}

fn a_client_that_breaks_the_rules_reads_the_reason_and_a_clean_end(adapter: Adapter) {
    expect_reason(adapter, false, echo_loop(adapter));
}

fn a_client_that_breaks_the_rules_reads_the_reason_and_a_clean_end_by_tls(adapter: Adapter) {
    expect_reason(adapter, true, echo_loop(adapter));
}

fn a_violating_client_of_callbacks_reads_the_close_and_a_clean_end(adapter: Adapter) {
    expect_reason(adapter, false, callbacks(adapter));
}

fn a_violating_client_of_callbacks_reads_the_close_and_a_clean_end_by_tls(adapter: Adapter) {
    expect_reason(adapter, true, callbacks(adapter));
}
