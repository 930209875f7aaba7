//! Clients with callbacks.

use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use ws_std::{Accept, Callbacks, CloseCode, Error, HandshakeError, Message, Response, Sessions};
use ws_tests::{
    PATIENCE, RawListener, bounded,
    either::{Adapter, Client, Pairing, Route, Server},
    takes,
    wire::Frame,
    with_both_adapters, with_every_pairing,
};

with_every_pairing! {
    a_client_starts_talks_and_stops
    a_client_waits_until_the_server_closes
    on_connected_sees_the_headers_of_the_response_before_on_connect
}

with_both_adapters! {
    a_server_without_an_answering_close_is_aborted_after_the_timeout
    a_client_that_is_refused_calls_nothing_back
    a_client_that_cannot_connect_calls_no_callback
    a_client_whose_server_vanishes_is_told_so
    a_session_of_a_client_knows_its_peer
    a_handle_may_be_dropped_and_the_client_goes_on
}

fn a_client_starts_talks_and_stops(pairing: Pairing) {
    let server = pairing.serve(Route::echo(pairing.server)).start();
    let (tell, told) = mpsc::channel();
    let (tell, end) = (Mutex::new(tell.clone()), Mutex::new(tell));
    let callbacks = Callbacks::new()
        .on_message(move |_, message| tell.lock().unwrap().send(Ok(message.into_owned())).unwrap())
        .on_disconnect(move |_, close_info| end.lock().unwrap().send(Err(close_info.clone())).unwrap());
    let client = pairing.client(&server, "/").start(callbacks).unwrap();
    client.session().send("text").unwrap();
    client.session().send(vec![7; 1 << 20]).unwrap();
    assert_eq!(told.recv_timeout(PATIENCE).unwrap().unwrap(), "text");
    assert_eq!(told.recv_timeout(PATIENCE).unwrap().unwrap(), Message::from(vec![7; 1 << 20]));
    let session = client.session().clone();
    assert!(session.is_open() && session.close_info().is_none());
    assert!(client.stop(PATIENCE));
    // `stop` has waited for the last callback.
    let close_info = told.try_recv().unwrap().unwrap_err();
    assert!(close_info.was_clean && close_info.code == CloseCode::NORMAL_CLOSURE, "{close_info}");
    assert_eq!(session.close_info(), Some(close_info));
    assert!(!session.is_open());
    assert!(matches!(session.send("too late"), Err(Error::Closed(_))));
    assert!(matches!(session.ping(b""), Err(Error::Closed(_))));
    session.close(CloseCode::NORMAL_CLOSURE, "no error").unwrap();
}

fn a_client_waits_until_the_server_closes(pairing: Pairing) {
    let (route, take) = Route::hand_over(pairing.server);
    let server = pairing.serve(route).start();
    let client = pairing.client(&server, "/").start(Callbacks::new()).unwrap();
    let mut there = take();
    let closing = std::thread::spawn(move || there.ws.close(CloseCode::new(4321), "enough"));
    client.wait();
    closing.join().unwrap().unwrap();
    let close_info = client.session().close_info().unwrap();
    assert_eq!((close_info.code.get(), &*close_info.reason, close_info.was_clean), (4321, "enough", true));
    client.wait();
    assert!(client.stop(Duration::ZERO), "it has ended long ago");
}

fn on_connected_sees_the_headers_of_the_response_before_on_connect(pairing: Pairing) {
    let route = Route::echo(pairing.server).check(|_| Ok(Accept::new().header("X-Greeting", "hello")));
    let server = pairing.serve(route).start();
    let (tell, told) = mpsc::channel();
    let (tell, then) = (Mutex::new(tell.clone()), Mutex::new(tell));
    let callbacks = Callbacks::new()
        .on_connected(move |_, response| {
            let greeting = response.header_value("x-greeting").unwrap_or_default();
            tell.lock().unwrap().send(format!("{} {greeting}", response.status())).unwrap();
        })
        .on_connect(move |session| {
            assert!(session.request().is_none());
            then.lock().unwrap().send(session.path().to_owned()).unwrap();
        });
    let client = pairing.client(&server, "/?query=1").start(callbacks).unwrap();
    assert!(client.stop(PATIENCE));
    assert_eq!(Vec::from_iter(told), ["101 hello", "/"]);
}

fn a_server_without_an_answering_close_is_aborted_after_the_timeout(adapter: Adapter) {
    let listener = RawListener::new();
    let url = listener.url("/");
    let starting = std::thread::spawn(move || Client::new(adapter, &url).start(Callbacks::new()).unwrap());
    let (mut raw, _) = listener.open();
    let client = starting.join().unwrap();
    let session = client.session().clone();
    assert!(!takes(Duration::from_millis(200), || client.stop(Duration::from_millis(200))));
    assert!(!session.close_info().unwrap().was_clean);
    assert_eq!(raw.frame().code_and_reason(), (1000, ""));
    assert_eq!(raw.next_frame(), None);
}

fn a_client_that_is_refused_calls_nothing_back(adapter: Adapter) {
    let refused = Route::echo(adapter).check(|_| Err(Response::new(403).text("not you\n")));
    let server = Server::new(adapter).mount("/", refused).start();
    let everyone = Sessions::new();
    let error = Client::new(adapter, &format!("ws://{}/", server.address())).start(silent(&everyone));
    let Err(Error::Handshake(HandshakeError::Refused(response))) = error else { panic!("{error:?}") };
    assert_eq!(response.status(), 403);
    assert_eq!(everyone.stats().opened, 0);
}

/// Returns callbacks that fail the test when called.
fn silent(sessions: &Sessions) -> Callbacks {
    Callbacks::new()
        .sessions(sessions)
        .on_connected(|_, _| unreachable!())
        .on_connect(|_| unreachable!())
        .on_message(|_, _| unreachable!())
        .on_error(|_, _| unreachable!())
        .on_disconnect(|_, _| std::process::abort())
}

fn a_client_that_cannot_connect_calls_no_callback(adapter: Adapter) {
    let listener = RawListener::new();
    let url = listener.url("/");
    drop(listener);
    let everyone = Sessions::new();
    assert!(matches!(Client::new(adapter, &url).start(silent(&everyone)), Err(Error::Io(_))));
    assert!(matches!(Client::new(adapter, "nonsense").start(silent(&everyone)), Err(Error::Url(_))));
    assert_eq!(everyone.stats().opened, 0);
}

fn a_client_whose_server_vanishes_is_told_so(adapter: Adapter) {
    let listener = RawListener::new();
    let url = listener.url("/");
    let (tell, told) = mpsc::channel();
    let (tell, end) = (Mutex::new(tell.clone()), Mutex::new(tell));
    let callbacks = Callbacks::new()
        .on_error(move |_, error| tell.lock().unwrap().send(error.to_string()).unwrap())
        .on_disconnect(move |_, close_info| end.lock().unwrap().send(close_info.code.to_string()).unwrap());
    let starting = std::thread::spawn(move || Client::new(adapter, &url).start(callbacks).unwrap());
    let (raw, _) = listener.open();
    let client = starting.join().unwrap();
    raw.send_unmasked(&Frame::text("hello").unfinished());
    drop(raw);
    client.wait();
    let told = Vec::from_iter(told);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("broken off"), "{told:?}");
    assert_eq!(told[1], "1006 abnormal closure");
}

fn a_session_of_a_client_knows_its_peer(adapter: Adapter) {
    let server = Server::new(adapter).mount("/chat", Route::echo(adapter).subprotocols(&["v1"])).start();
    let client = Client::new(adapter, &format!("ws://{}/chat?x=1", server.address())).subprotocol("v1");
    let client = client.start(Callbacks::new()).unwrap();
    let session = client.session();
    assert_eq!(session.path(), "/chat");
    assert_eq!(session.peer_addr(), Some(server.address()));
    assert_eq!(session.subprotocol(), Some("v1"));
    assert_eq!((session.header("Host"), session.parameter("x")), (None, None));
    assert!(client.stop(PATIENCE));
}

fn a_handle_may_be_dropped_and_the_client_goes_on(adapter: Adapter) {
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route).start();
    let echo = Callbacks::new().on_message(|session, message| session.feed(message).unwrap());
    drop(Client::new(adapter, &format!("ws://{}/", server.address())).start(echo).unwrap());
    let mut there = take();
    there.ws.send("still there?").unwrap();
    assert_eq!(there.ws.message(), "still there?");
    there.ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
}

#[test]
fn a_task_that_is_never_run_calls_nothing_back() {
    bounded(|| {
        let server = Server::new(Adapter::Std).mount("/", Route::echo(Adapter::Std)).start();
        let everyone = Sessions::new();
        let client = ws_smol::Client::new(&format!("ws://{}/", server.address()));
        let client = smol::block_on(client.start(silent(&everyone), drop)).unwrap();
        smol::block_on(client.wait());
        assert!(everyone.is_empty() && !client.session().is_open());
    });
}
