//! The state of a connection as a loop condition, observers of control frames, and pings without a verdict.

use std::{
    io::Write as _,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use futures_lite::StreamExt as _;
use ws_std::{Callbacks, Chunk, CloseCode, Error, Event, Keepalive, TimeoutKind};
use ws_tests::{
    PATIENCE, Raw, SLACK,
    either::{Adapter, Client, Route, Server, WebSocket},
    eventually, let_pass,
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    an_echo_loop_runs_while_the_connection_is_open
    a_connection_is_open_until_a_close_is_sent_or_received
    a_connection_whose_stream_has_ended_is_not_open
    the_observer_sees_control_frames_and_the_caller_the_messages
    the_observer_sees_control_frames_between_chunks_and_without_waiting
    the_observer_sees_the_close_of_the_peer
    the_observer_may_send
    an_observer_does_not_keep_a_read_timeout_under_a_flood
    pings_and_pongs_of_the_peer_reach_the_callbacks
    the_answers_to_keepalive_pings_reach_no_callback
    a_panic_in_the_callback_for_pings_closes_with_1011
    pings_without_a_verdict_do_not_end_a_silent_connection
    an_interval_of_zero_sends_no_pings
}

fn connected(adapter: Adapter) -> (WebSocket, Raw) {
    Client::connected_to_raw(adapter, |client| client)
}

fn echo_while_open(adapter: Adapter) -> Route {
    match adapter {
        Adapter::Std => Route::Std(ws_std::Route::new(|_, mut ws| {
            while ws.is_open() {
                if let Some(message) = ws.receive()? {
                    ws.send(message)?;
                }
            }
            Ok(())
        })),
        Adapter::Smol => Route::Smol(ws_smol::Route::new(|_, mut ws| async move {
            while ws.is_open() {
                if let Some(message) = ws.receive().await? {
                    ws.send(message).await?;
                }
            }
            Ok(())
        })),
    }
}

fn an_echo_loop_runs_while_the_connection_is_open(adapter: Adapter) {
    let server = Server::new(adapter).mount("/", echo_while_open(adapter));
    let monitor = server.monitor();
    let server = server.start();
    let mut ws = Client::new(adapter, &format!("ws://{}/", server.address())).connect().unwrap();
    for number in 0..10 {
        ws.send(number.to_string()).unwrap();
        assert_eq!(ws.message(), *number.to_string());
    }
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    eventually("the handler has returned", || server.handle().connections() == 0);
    let stats = monitor.stats();
    assert_eq!((stats.handler_errors, stats.panics, stats.disconnected), (0, 0, 0), "{stats:?}");
}

fn a_connection_is_open_until_a_close_is_sent_or_received(adapter: Adapter) {
    let (mut ws, raw) = connected(adapter);
    let sender = ws.sender();
    assert!(ws.is_open() && sender.is_open());
    raw.send_unmasked(&Frame::close(1000, ""));
    assert_eq!(ws.receive().unwrap(), None);
    assert!(!ws.is_open() && !sender.is_open());

    let (ws, _raw) = connected(adapter);
    ws.sender().close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    assert!(!ws.is_open());
}

fn a_connection_whose_stream_has_ended_is_not_open(adapter: Adapter) {
    let (mut ws, raw) = connected(adapter);
    drop(raw);
    ws.receive().unwrap_err();
    assert!(!ws.is_open());
}

#[test]
fn the_observer_sees_control_frames_of_a_stream() {
    ws_tests::bounded(|| {
        let (ws, raw) = connected(Adapter::Smol);
        let WebSocket::Smol(mut ws) = ws else { panic!("not a stream") };
        let (tell, told) = mpsc::channel();
        ws.observe_control(move |event| tell.send(event.clone().into_owned()).unwrap());
        raw.send_unmasked(&Frame::new(Frame::PING, "p"));
        raw.send_unmasked(&Frame::text("message"));
        raw.send_unmasked(&Frame::close(1000, ""));
        let messages: Vec<_> = smol::block_on(ws.collect());
        assert_eq!(messages.into_iter().map(Result::unwrap).collect::<Vec<_>>(), ["message"]);
        let observed: Vec<_> = told.try_iter().collect();
        assert!(matches!(&observed[..], [Event::Ping(_), Event::Close(Some(_))]), "{observed:?}");
    });
}

/// Lets the events of an observer arrive at the test.
fn observed(ws: &mut WebSocket) -> mpsc::Receiver<Event<'static>> {
    let (tell, told) = mpsc::channel();
    ws.observe_control(move |event| tell.send(event.clone().into_owned()).unwrap());
    told
}

fn the_observer_sees_control_frames_and_the_caller_the_messages(adapter: Adapter) {
    let (mut ws, mut raw) = connected(adapter);
    let told = observed(&mut ws);
    raw.send_unmasked(&Frame::new(Frame::PING, "p"));
    raw.send_unmasked(&Frame::text("message"));
    raw.send_unmasked(&Frame::new(Frame::PONG, "q"));
    raw.send_unmasked(&Frame::text("last"));
    assert_eq!(ws.message(), "message");
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [Event::Ping(b"p".into())]);
    assert_eq!(ws.message(), "last");
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [Event::Pong(b"q".into())]);
    ws.flush().unwrap();
    assert_eq!(raw.frame().payload, b"p", "the ping is answered as well");
    // The method that returns events does not call the observer.
    raw.send_unmasked(&Frame::new(Frame::PING, "r"));
    assert_eq!(ws.receive_event().unwrap(), Some(Event::Ping(b"r".into())));
    assert_eq!(told.try_iter().count(), 0);
}

fn the_observer_sees_control_frames_between_chunks_and_without_waiting(adapter: Adapter) {
    let (mut ws, raw) = connected(adapter);
    let told = observed(&mut ws);
    raw.send_unmasked(&Frame::new(Frame::PING, "1"));
    raw.send_unmasked(&Frame::text("one"));
    assert_eq!(ws.receive_chunk().unwrap(), Some(Chunk::last("one")));
    assert_eq!(told.try_iter().count(), 1);
    raw.send_unmasked(&Frame::new(Frame::PING, "2"));
    let mut nothing_came = false;
    eventually("the ping is here", || {
        nothing_came = matches!(ws.try_receive(), Err(Error::Timeout(TimeoutKind::Read)));
        told.try_iter().count() == 1
    });
    assert!(nothing_came, "it is not a message");
}

fn the_observer_sees_the_close_of_the_peer(adapter: Adapter) {
    let (mut ws, raw) = connected(adapter);
    let told = observed(&mut ws);
    raw.send_unmasked(&Frame::close(1001, "going"));
    assert!(matches!(ws.receive(), Ok(None) | Err(Error::Closed(_))));
    let Some(Event::Close(Some(frame))) = told.try_iter().next() else { panic!("no Close") };
    assert_eq!((frame.code.get(), &*frame.reason), (1001, "going"));
}

fn the_observer_may_send(adapter: Adapter) {
    let (mut ws, mut raw) = connected(adapter);
    let sender = ws.sender();
    ws.observe_control(move |event| {
        if let Event::Pong(payload) = event {
            sender.feed(&payload[..]).unwrap();
        }
    });
    raw.send_unmasked(&Frame::new(Frame::PONG, "again"));
    raw.send_unmasked(&Frame::text("message"));
    assert_eq!(ws.message(), "message");
    ws.flush().unwrap();
    let frame = raw.frame();
    assert_eq!((frame.opcode, &frame.payload[..]), (Frame::BINARY, &b"again"[..]));
}

fn an_observer_does_not_keep_a_read_timeout_under_a_flood(adapter: Adapter) {
    let (mut ws, raw) = connected(adapter);
    ws.observe_control(|_| {});
    let socket = raw.socket().try_clone().unwrap();
    let pongs = Frame::new(Frame::PONG, "").encode().repeat(50_000);
    let flooding = thread::spawn(move || while (&socket).write_all(&pongs).is_ok() {});
    let is_late = |received| matches!(received, Err(Error::Timeout(TimeoutKind::Read)));
    for timeout in [Duration::ZERO, Duration::from_millis(50)] {
        ws.set_read_timeout(Some(timeout));
        let began = Instant::now();
        assert!(is_late(ws.receive()));
        assert!(is_late(ws.try_receive()));
        assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
    }
    drop(ws);
    drop(raw);
    flooding.join().unwrap();
}

fn pings_and_pongs_of_the_peer_reach_the_callbacks(adapter: Adapter) {
    let (tell, told) = mpsc::channel();
    let (tell_pong, tell_message) = (tell.clone(), tell.clone());
    let callbacks = Callbacks::new()
        .on_connect(|session| session.ping(b"ours").unwrap())
        .on_ping(move |session, payload| tell.send((session.id(), "ping", payload.to_vec())).unwrap())
        .on_pong(move |session, payload| tell_pong.send((session.id(), "pong", payload.to_vec())).unwrap())
        .on_message(move |session, message| {
            tell_message.send((session.id(), "message", message.as_bytes().to_vec())).unwrap();
        });
    let server = Server::new(adapter).mount("/", Route::callbacks(adapter, callbacks)).start();
    let mut raw = Raw::open(server.address(), "/");
    let ping = raw.frame();
    assert_eq!((ping.opcode, &ping.payload[..]), (Frame::PING, &b"ours"[..]));
    for (opcode, payload) in
        [(Frame::PING, "theirs"), (Frame::PONG, "ours"), (Frame::TEXT, "m"), (Frame::PONG, "")]
    {
        raw.send(Frame::new(opcode, payload));
    }
    let events: Vec<_> = (0..4).map(|_| told.recv_timeout(PATIENCE).unwrap()).collect();
    let session = events[0].0;
    let expected = [("ping", "theirs"), ("pong", "ours"), ("message", "m"), ("pong", "")];
    assert_eq!(events, expected.map(|(kind, payload)| (session, kind, payload.as_bytes().to_vec())));
    let pong = raw.frame();
    assert_eq!((pong.opcode, &pong.payload[..]), (Frame::PONG, &b"theirs"[..]));
}

fn the_answers_to_keepalive_pings_reach_no_callback(adapter: Adapter) {
    let (tell, told) = mpsc::channel();
    let tell_message = tell.clone();
    let callbacks = Callbacks::new()
        .on_pong(move |_, payload| tell.send(payload.to_vec()).unwrap())
        .on_message(move |_, message| tell_message.send(message.as_bytes().to_vec()).unwrap());
    let route = Route::callbacks(adapter, callbacks).configure(|config| {
        let interval = Duration::from_millis(20);
        config.keepalive = Some(Keepalive { interval, timeout: PATIENCE, max_missed: Some(1) });
    });
    let server = Server::new(adapter).mount("/", route).start();
    let mut raw = Raw::open(server.address(), "/");
    for _ in 0..3 {
        let ping = raw.frame();
        raw.send(Frame::new(Frame::PONG, ping.payload));
    }
    raw.send(Frame::text("last"));
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), b"last");
}

fn a_panic_in_the_callback_for_pings_closes_with_1011(adapter: Adapter) {
    let callbacks = Callbacks::new().on_ping(|_, _| panic!("on purpose"));
    let server = Server::new(adapter).mount("/", Route::callbacks(adapter, callbacks)).start();
    let mut raw = Raw::open(server.address(), "/");
    raw.send(Frame::new(Frame::PING, "p"));
    assert_eq!(raw.frame().opcode, Frame::PONG);
    assert_eq!(raw.frame().code_and_reason(), (1011, "the handler failed"));
}

fn with_keepalive(adapter: Adapter, keepalive: Keepalive) -> (WebSocket, Raw) {
    Client::connected_to_raw(adapter, |client| {
        client.configure(|config| config.keepalive = Some(keepalive)).read_timeout(PATIENCE)
    })
}

fn pings_without_a_verdict_do_not_end_a_silent_connection(adapter: Adapter) {
    let interval = Duration::from_millis(20);
    let keepalive = Keepalive { interval, timeout: interval, max_missed: None };
    let (mut ws, mut raw) = with_keepalive(adapter, keepalive);
    let receiving = thread::spawn(move || ws.message());
    for _ in 0..5 {
        assert_eq!(raw.frame().opcode, Frame::PING, "none of them is answered");
    }
    raw.send_unmasked(&Frame::text("still here"));
    assert_eq!(receiving.join().unwrap(), "still here");
}

fn an_interval_of_zero_sends_no_pings(adapter: Adapter) {
    let keepalive = Keepalive { interval: Duration::ZERO, timeout: Duration::ZERO, max_missed: Some(1) };
    let (mut ws, mut raw) = with_keepalive(adapter, keepalive);
    let receiving = thread::spawn(move || {
        let message = ws.message();
        ws.send("answer").unwrap();
        message
    });
    // A ping every millisecond would have left in this time.
    let_pass(Duration::from_millis(50));
    raw.send_unmasked(&Frame::text("question"));
    assert_eq!(raw.frame().payload, b"answer");
    assert_eq!(receiving.join().unwrap(), "question");
}
