//! Clients with callbacks that connect again.

use std::{
    io,
    sync::{Mutex, mpsc},
    thread,
    time::Duration,
};

use ws_std::{Backlog, Callbacks, CloseCode, Error, WhileDisconnected};
use ws_tests::{
    PATIENCE, RawListener, either::Adapter, eventually, let_pass, takes, wire::Frame, with_both_adapters,
};

use crate::{client, close, open, quick, refuse, serve, status};

with_both_adapters! {
    a_stop_ends_a_wait_and_a_connect_at_once
    a_stop_closes_the_connection_and_no_other_follows
    callbacks_run_for_each_connection
    a_message_while_disconnected_fails_or_waits
    a_message_of_a_broken_connection_is_not_sent_again
    a_client_whose_server_reads_too_slowly_connects_again
    a_callback_that_panics_ends_the_client
    an_error_that_is_not_transient_ends_a_client_with_callbacks
}

fn a_stop_ends_a_wait_and_a_connect_at_once(adapter: Adapter) {
    for answers in [true, false] {
        let listener = RawListener::new();
        let silent = client(adapter, &listener, quick()).start(Callbacks::new(), WhileDisconnected::Fail);
        let mut raw = listener.accept();
        raw.head();
        if answers {
            raw.write("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1000\r\nContent-Length: 0\r\n\r\n");
            // The client has read the response when it closes the connection.
            raw.rest().unwrap();
        }
        assert!(silent.session().is_none());
        assert!(takes(Duration::ZERO, || silent.stop(PATIENCE)));
        silent.wait().unwrap();
        assert!(matches!(silent.send("too late"), Err(Error::Io(_))));
    }
}

fn a_stop_closes_the_connection_and_no_other_follows(adapter: Adapter) {
    let listener = RawListener::new();
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let callbacks =
        Callbacks::new().on_disconnect(move |_, ended| tell.lock().unwrap().send(ended.code).unwrap());
    let client = client(adapter, &listener, quick()).start(callbacks, WhileDisconnected::Fail);
    let serving = serve(listener, 1, |_, mut raw| {
        open(&mut raw);
        raw.send_unmasked(&Frame::text("open"));
        assert_eq!(raw.frame().code_and_reason(), (1000, ""));
        raw.send_unmasked(&Frame::close(1000, ""));
    });
    eventually("the client is connected", || client.session().is_some());
    assert!(client.stop(PATIENCE));
    // `stop` has waited for the last callback.
    assert_eq!(told.try_recv().unwrap(), CloseCode::NORMAL_CLOSURE);
    client.wait().unwrap();
    serving.join().unwrap();
}

fn callbacks_run_for_each_connection(adapter: Adapter) {
    let listener = RawListener::new();
    let (tell, told) = mpsc::channel();
    let (tell, met) = (Mutex::new(tell.clone()), Mutex::new(tell));
    let callbacks = Callbacks::new()
        .on_connect(move |session| {
            session.send("hello").unwrap();
            met.lock().unwrap().send(session.path().to_owned()).unwrap();
        })
        .on_disconnect(move |_, ended| tell.lock().unwrap().send(ended.code.get().to_string()).unwrap());
    let client = client(adapter, &listener, quick()).start(callbacks, WhileDisconnected::Fail);
    let serving = serve(listener, 3, |at, mut raw| {
        open(&mut raw);
        assert_eq!(raw.frame().payload, b"hello");
        close(raw, [1001, 1011, 1000][at]);
    });
    client.wait().unwrap();
    serving.join().unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["/", "1001", "/", "1011", "/", "1000"]);
    assert!(client.session().is_none());
}

fn is_not_connected(sent: Result<(), Error>) -> bool {
    matches!(sent, Err(Error::Io(error)) if error.kind() == io::ErrorKind::NotConnected)
}

fn a_message_while_disconnected_fails_or_waits(adapter: Adapter) {
    let listener = RawListener::new();
    let at_once = client(adapter, &listener, quick()).start(Callbacks::new(), WhileDisconnected::Fail);
    let _first = listener.accept();
    assert!(is_not_connected(takes(Duration::ZERO, || at_once.send("fails"))));
    at_once.stop(PATIENCE);

    const WAIT: Duration = Duration::from_millis(300);
    let briefly = client(adapter, &listener, quick()).start(Callbacks::new(), WhileDisconnected::Wait(WAIT));
    let _second = listener.accept();
    assert!(is_not_connected(takes(WAIT, || briefly.send("fails later"))));
    briefly.stop(PATIENCE);

    let patient =
        client(adapter, &listener, quick()).start(Callbacks::new(), WhileDisconnected::Wait(PATIENCE));
    let mut raw = listener.accept();
    let sender = patient.clone();
    let sending = thread::spawn(move || sender.send("waits"));
    let_pass(Duration::from_millis(50));
    open(&mut raw);
    assert_eq!(raw.frame().payload, b"waits");
    sending.join().unwrap().unwrap();
    // A stop ends the waiting.
    drop(raw);
    let _raw = listener.accept();
    eventually("the client is disconnected", || patient.session().is_none());
    let sender = patient.clone();
    let sending = thread::spawn(move || sender.send("never"));
    assert!(takes(Duration::ZERO, || patient.stop(PATIENCE)));
    assert!(is_not_connected(sending.join().unwrap()));
}

fn a_message_of_a_broken_connection_is_not_sent_again(adapter: Adapter) {
    let listener = RawListener::new();
    let wait = WhileDisconnected::Wait(PATIENCE);
    let backlog = Backlog { bytes: 64 << 20, ..Backlog::default() };
    let client = client(adapter, &listener, quick()).start(Callbacks::new().backlog(backlog), wait);
    let (mut raw, _) = listener.open();
    // More than the buffers of the kernel take, so that messages are queued when the connection breaks.
    for _ in 0..30 {
        client.send(vec![7; 1 << 20]).unwrap();
    }
    raw.read_exact(1000);
    raw.reset();
    let (mut raw, _) = listener.open();
    eventually("the client is connected again", || client.session().is_some_and(|new| new.is_open()));
    client.send("new").unwrap();
    assert_eq!(raw.frame().payload, b"new");
    drop(raw);
    client.begin_stop();
    client.wait().unwrap();
}

fn a_client_whose_server_reads_too_slowly_connects_again(adapter: Adapter) {
    let listener = RawListener::new();
    let client = client(adapter, &listener, quick()).start(Callbacks::new(), WhileDisconnected::Fail);
    let (raw, _) = listener.open();
    eventually("the client is connected", || client.session().is_some());
    while client.send(vec![7; 1 << 20]).is_ok() {}
    raw.reset();
    listener.open();
    client.begin_stop();
    client.wait().unwrap();
}

fn a_callback_that_panics_ends_the_client(adapter: Adapter) {
    let listener = RawListener::new();
    let callbacks = Callbacks::new().on_connect(|_| panic!("on purpose"));
    let client = client(adapter, &listener, quick()).start(callbacks, WhileDisconnected::Fail);
    let serving = serve(listener, 1, |_, mut raw| {
        open(&mut raw);
        assert_eq!(raw.frame().code_and_reason().0, 1011);
        raw.send_unmasked(&Frame::close(1011, ""));
    });
    let error = client.wait().unwrap_err();
    assert!(error.to_string().contains("on purpose"), "{error}");
    serving.join().unwrap();
}

fn an_error_that_is_not_transient_ends_a_client_with_callbacks(adapter: Adapter) {
    let listener = RawListener::new();
    let client = client(adapter, &listener, quick()).start(Callbacks::new(), WhileDisconnected::Fail);
    let serving = serve(listener, 1, |_, mut raw| refuse(&mut raw, "403 Forbidden"));
    assert_eq!(status(&client.wait().unwrap_err()), 403);
    serving.join().unwrap();
    assert!(client.stop(Duration::ZERO), "it has ended before");
}
