//! Panics in callbacks.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
    mpsc,
};

use ws_std::{Backlog, Callbacks, CloseCode, CloseInfo, Overflow, Sessions};
use ws_tests::{
    PATIENCE, Raw,
    either::{Adapter, Client, Route, Running, Server, WebSocket},
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    a_panic_in_on_connect_ends_its_own_session_with_1011
    a_panic_in_on_message_ends_its_own_session_with_1011
    a_panic_in_on_disconnect_harms_nobody
    a_panic_in_on_error_does_not_keep_on_disconnect_from_being_called
    a_panic_in_on_lagging_ends_the_lagging_session_and_not_the_sender
    a_panic_in_a_clients_callback_is_told_to_the_server
    after_a_panic_no_callback_is_called_but_the_last
}

/// The end that the last callback of the panicking sessions received.
type Ends = mpsc::Receiver<CloseInfo>;

/// Starts a server that panics on `/panics`, in the callbacks that `panicking` adds, and echoes on `/echo`.
fn server(adapter: Adapter, panicking: impl FnOnce(Callbacks) -> Callbacks) -> (Running, Ends, WebSocket) {
    let (end, ends) = mpsc::channel();
    let end = Mutex::new(end);
    let callbacks = Callbacks::new().on_disconnect(move |_, close_info| {
        end.lock().unwrap().send(close_info.clone()).unwrap();
    });
    let echo = Callbacks::new().on_message(|session, message| session.feed(message).unwrap());
    let server = Server::new(adapter)
        .mount("/panics", Route::callbacks(adapter, panicking(callbacks)))
        .mount("/echo", Route::callbacks(adapter, echo))
        .start();
    let bystander = Client::new(adapter, &format!("ws://{}/echo", server.address())).connect().unwrap();
    (server, ends, bystander)
}

fn still_echoes(mut bystander: WebSocket) {
    bystander.send("still there?").unwrap();
    assert_eq!(bystander.message(), "still there?");
    bystander.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
}

fn expect_1011(mut raw: Raw, ends: &Ends) {
    assert_eq!(raw.frame().code_and_reason(), (1011, "the handler failed"));
    raw.send(Frame::close(1011, ""));
    assert_eq!(raw.next_frame(), None);
    let close_info = ends.recv_timeout(PATIENCE).unwrap();
    assert_eq!((close_info.code, close_info.was_clean), (CloseCode::INTERNAL_ERROR, true));
}

fn nobody_else_ended(ends: &Ends) {
    assert!(ends.try_recv().is_err());
}

fn a_panic_in_on_connect_ends_its_own_session_with_1011(adapter: Adapter) {
    let (server, ends, bystander) = server(adapter, |them| them.on_connect(|_| panic!("as it was told to")));
    expect_1011(Raw::open(server.address(), "/panics"), &ends);
    still_echoes(bystander);
    nobody_else_ended(&ends);
}

fn a_panic_in_on_message_ends_its_own_session_with_1011(adapter: Adapter) {
    let (server, ends, bystander) = server(adapter, |them| {
        them.on_message(|session, message| {
            session.feed("not lost").unwrap();
            panic!("as it was told to, by {message}");
        })
    });
    let mut raw = Raw::open(server.address(), "/panics");
    raw.send(Frame::text("a message"));
    assert_eq!(raw.frame(), Frame::text("not lost"));
    expect_1011(raw, &ends);
    still_echoes(bystander);
    nobody_else_ended(&ends);
}

fn a_panic_in_on_disconnect_harms_nobody(adapter: Adapter) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let (server, _, bystander) = server(adapter, |_| {
        Callbacks::new().on_disconnect(move |_, _| {
            counted.fetch_add(1, SeqCst);
            panic!("as it was told to");
        })
    });
    for _ in 0..3 {
        let mut raw = Raw::open(server.address(), "/panics");
        raw.send(Frame::close(1000, ""));
        assert_eq!(raw.frame().code_and_reason().0, 1000);
        assert_eq!(raw.next_frame(), None);
    }
    still_echoes(bystander);
    assert!(server.handle().stop(PATIENCE));
    assert_eq!(calls.load(SeqCst), 3);
}

fn a_panic_in_on_error_does_not_keep_on_disconnect_from_being_called(adapter: Adapter) {
    let (server, ends, bystander) = server(adapter, |them| them.on_error(|_, _| panic!("as it was told to")));
    let mut raw = Raw::open(server.address(), "/panics");
    // An unmasked frame, which a client must not send.
    raw.send_unmasked(&Frame::text("hello"));
    assert_eq!(raw.frame().code_and_reason().0, 1002);
    drop(raw);
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap().code, CloseCode::PROTOCOL_ERROR);
    still_echoes(bystander);
    nobody_else_ended(&ends);
}

fn a_panic_in_on_lagging_ends_the_lagging_session_and_not_the_sender(adapter: Adapter) {
    let everyone = Sessions::new();
    let backlog = Backlog { messages: 1, overflow: Overflow::DropNewest, ..Backlog::default() };
    let (server, ends, bystander) = server(adapter, |them| {
        them.sessions(&everyone).backlog(backlog).on_lagging(|_, _| panic!("as it was told to"))
    });
    let mut raw = Raw::open(server.address(), "/panics");
    ws_tests::eventually("it is in the set", || everyone.len() == 1);
    let session = everyone.all()[0].clone();
    let message = vec![0; 1 << 20];
    // Return once the buffers are full and a message was dropped.
    while session.is_open() {
        everyone.broadcast(&message);
    }
    assert_eq!(session.stats().lagged, 1);
    let mut frame = raw.frame();
    while frame.opcode == Frame::BINARY {
        frame = raw.frame();
    }
    assert_eq!(frame.code_and_reason(), (1011, "the handler failed"));
    raw.send(Frame::close(1011, ""));
    assert_eq!(raw.next_frame(), None);
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap().code, CloseCode::INTERNAL_ERROR);
    still_echoes(bystander);
    nobody_else_ended(&ends);
}

fn a_panic_in_a_clients_callback_is_told_to_the_server(adapter: Adapter) {
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route).start();
    let (end, ends) = mpsc::channel();
    let end = Mutex::new(end);
    let callbacks = Callbacks::new()
        .on_connected(|_, _| panic!("as it was told to"))
        .on_connect(|_| unreachable!("nothing is called after a panic"))
        .on_disconnect(move |_, close_info| end.lock().unwrap().send(close_info.code).unwrap());
    let client = Client::new(adapter, &format!("ws://{}/", server.address())).start(callbacks).unwrap();
    let mut there = take();
    assert_eq!(there.ws.receive_to_abnormal_close().code, CloseCode::INTERNAL_ERROR);
    drop(there);
    client.wait();
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), CloseCode::INTERNAL_ERROR);
}

fn after_a_panic_no_callback_is_called_but_the_last(adapter: Adapter) {
    let messages = Arc::new(AtomicUsize::new(0));
    let counted = messages.clone();
    let (server, ends, bystander) = server(adapter, |them| {
        them.on_message(move |_, _| {
            counted.fetch_add(1, SeqCst);
            panic!("as it was told to");
        })
    });
    let raw = Raw::open(server.address(), "/panics");
    raw.write(Frame::text("a message").masked().encode().repeat(10));
    expect_1011(raw, &ends);
    assert_eq!(messages.load(SeqCst), 1);
    still_echoes(bystander);
}
