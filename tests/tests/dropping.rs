//! Handlers of both adapters that drop their connections, or halves of them, and run on.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use ws_std::{CloseCode, Error};
use ws_tests::{
    Raw,
    either::{Adapter, Handed, Pairing, Route, Running, Server},
    takes,
    wire::Frame,
    with_both_adapters, with_every_pairing,
};

with_every_pairing! {
    the_peer_of_a_dropped_websocket_sees_a_normal_close
}

with_both_adapters! {
    a_dropped_websocket_is_closed_while_its_handler_runs_on
    a_websocket_that_the_handler_drops_itself_is_closed_while_it_runs_on
    pings_that_cross_the_close_of_a_dropped_websocket_are_answered
    a_close_that_was_begun_before_the_drop_keeps_its_code
    a_peer_that_does_not_answer_the_close_is_given_up_in_time
    the_connection_stays_open_until_both_halves_are_dropped
    a_receiver_receives_without_a_sender
    without_a_receiver_pings_and_a_close_are_answered
    without_a_receiver_a_sender_can_close
    a_thousand_messages_for_a_dropped_receiver_do_not_stop_the_sender
    a_handler_that_fails_when_it_drops_its_websocket_closes_with_1011
}

fn open(adapter: Adapter) -> (Running, Raw, Handed) {
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route);
    let server = server.configure(|config| config.close_timeout = Duration::from_millis(500)).start();
    let raw = Raw::open(server.address(), "/");
    (server, raw, take())
}

/// The handler still runs.
fn expect_running(server: &Running) {
    assert_eq!(server.handle().connections(), 1);
}

fn expect_end(server: &Running, mut raw: Raw, code: u16) {
    assert_eq!(raw.frame().code_and_reason().0, code);
    raw.send(Frame::close(code, ""));
    assert_eq!(raw.next_frame(), None);
    expect_running(server);
}

fn expect_pong(raw: &mut Raw) {
    raw.send(Frame::new(Frame::PING, "there?"));
    let pong = raw.frame();
    assert_eq!((pong.opcode, &*pong.payload), (Frame::PONG, &b"there?"[..]));
}

fn the_peer_of_a_dropped_websocket_sees_a_normal_close(pairing: Pairing) {
    let (route, take) = Route::hand_over(pairing.server);
    let server = pairing.serve(route).start();
    let mut client = pairing.client(&server, "/").connect().unwrap();
    let handed = take();
    handed.ws.send("the last message").unwrap();
    drop(handed.ws);
    assert_eq!(client.message(), "the last message");
    assert_eq!(client.receive().unwrap(), None);
    let close_info = client.close_info();
    assert!(close_info.was_clean);
    assert_eq!(close_info.code, CloseCode::NORMAL_CLOSURE);
    expect_running(&server);
}

fn a_dropped_websocket_is_closed_while_its_handler_runs_on(adapter: Adapter) {
    let (server, raw, handed) = open(adapter);
    drop(handed.ws);
    expect_end(&server, raw, 1000);
}

fn a_websocket_that_the_handler_drops_itself_is_closed_while_it_runs_on(adapter: Adapter) {
    let (release, released) = smol::channel::bounded::<()>(1);
    let route = match adapter {
        Adapter::Std => Route::Std(ws_std::Route::new(move |_, ws| {
            drop(ws);
            let _ = released.recv_blocking();
            Ok(())
        })),
        Adapter::Smol => Route::Smol(ws_smol::Route::new(move |_, ws| {
            let released = released.clone();
            async move {
                drop(ws);
                let _ = released.recv().await;
                Ok(())
            }
        })),
    };
    let server = Server::new(adapter).mount("/", route).start();
    for _ in 0..3 {
        let mut raw = Raw::open(server.address(), "/");
        assert_eq!(raw.frame().code_and_reason().0, 1000);
        raw.send(Frame::close(1000, ""));
        assert_eq!(raw.next_frame(), None);
    }
    assert_eq!(server.handle().connections(), 3);
    drop(release);
}

fn pings_that_cross_the_close_of_a_dropped_websocket_are_answered(adapter: Adapter) {
    let (server, mut raw, handed) = open(adapter);
    drop(handed.ws);
    assert_eq!(raw.frame().code_and_reason().0, 1000);
    expect_pong(&mut raw);
    raw.send(Frame::close(1000, ""));
    assert_eq!(raw.next_frame(), None);
    expect_running(&server);
}

fn a_close_that_was_begun_before_the_drop_keeps_its_code(adapter: Adapter) {
    let (server, raw, handed) = open(adapter);
    handed.ws.sender().close(CloseCode::new(4000), "enough").unwrap();
    drop(handed.ws);
    expect_end(&server, raw, 4000);
}

fn a_peer_that_does_not_answer_the_close_is_given_up_in_time(adapter: Adapter) {
    let (server, mut raw, handed) = open(adapter);
    drop(handed.ws);
    assert_eq!(raw.frame().code_and_reason().0, 1000);
    takes(Duration::from_millis(500), || assert_eq!(raw.next_frame(), None));
    expect_running(&server);
}

fn the_connection_stays_open_until_both_halves_are_dropped(adapter: Adapter) {
    let (server, mut raw, handed) = open(adapter);
    let (sender, receiver) = handed.ws.split();
    let other = sender.clone();
    drop(receiver);
    drop(sender);
    // As long as this takes, the library receives.
    for _ in 0..100 {
        expect_pong(&mut raw);
    }
    other.send("still open").unwrap();
    assert_eq!(&*raw.frame().payload, b"still open");
    drop(other);
    expect_end(&server, raw, 1000);
}

fn a_receiver_receives_without_a_sender(adapter: Adapter) {
    let (server, mut raw, handed) = open(adapter);
    let (sender, mut receiver) = handed.ws.split();
    drop(sender);
    raw.send(Frame::new(Frame::PING, "there?"));
    raw.send(Frame::text("a message"));
    assert_eq!(receiver.receive().unwrap().unwrap(), "a message");
    raw.send(Frame::close(1000, ""));
    assert_eq!(receiver.receive().unwrap(), None);
    assert_eq!(raw.frame().opcode, Frame::PONG);
    assert_eq!(raw.frame().code_and_reason().0, 1000);
    expect_running(&server);
}

fn without_a_receiver_pings_and_a_close_are_answered(adapter: Adapter) {
    let (server, mut raw, handed) = open(adapter);
    let (sender, receiver) = handed.ws.split();
    drop(receiver);
    raw.send(Frame::text("no code of the application receives this"));
    expect_pong(&mut raw);
    sender.send("a message").unwrap();
    assert_eq!(&*raw.frame().payload, b"a message");
    raw.send(Frame::close(1001, ""));
    assert_eq!(raw.frame().code_and_reason().0, 1001);
    assert_eq!(raw.next_frame(), None);
    assert!(matches!(sender.send("too late"), Err(Error::Closed(_))));
    expect_running(&server);
}

fn without_a_receiver_a_sender_can_close(adapter: Adapter) {
    let (server, mut raw, handed) = open(adapter);
    let (sender, receiver) = handed.ws.split();
    drop(receiver);
    expect_pong(&mut raw);
    sender.close(CloseCode::new(4000), "").unwrap();
    assert_eq!(raw.frame().code_and_reason().0, 4000);
    takes(Duration::from_millis(500), || assert_eq!(raw.next_frame(), None));
    expect_running(&server);
}

fn a_thousand_messages_for_a_dropped_receiver_do_not_stop_the_sender(adapter: Adapter) {
    let (server, mut raw, handed) = open(adapter);
    let (sender, receiver) = handed.ws.split();
    drop(receiver);
    for number in 0..1000 {
        raw.send(Frame::new(Frame::BINARY, vec![0; 16 << 10]));
        if number % 100 == 0 {
            sender.send("still there").unwrap();
            assert_eq!(&*raw.frame().payload, b"still there");
        }
    }
    expect_pong(&mut raw);
    expect_running(&server);
}

fn a_handler_that_fails_when_it_drops_its_websocket_closes_with_1011(adapter: Adapter) {
    let (tell, told) = mpsc::channel();
    let tell = Arc::new(Mutex::new(tell));
    let server = Server::new(adapter).mount("/", Route::after_one(adapter, || Err("on purpose".into())));
    let server = server.on_error(move |error| tell.lock().unwrap().send(error.kind).unwrap()).start();
    for _ in 0..20 {
        let mut raw = Raw::open(server.address(), "/");
        raw.send(Frame::text("go"));
        assert_eq!(raw.frame().code_and_reason().0, 1011);
        raw.send(Frame::close(1011, ""));
        assert_eq!(raw.next_frame(), None);
        assert_eq!(told.recv().unwrap(), ws_std::ConnectionErrorKind::Handler);
    }
}
