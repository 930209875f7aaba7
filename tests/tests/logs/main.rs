//! The log of both adapters: its spans, its levels, and the absence of secrets.

mod recorder;

use std::{error::Error as _, net::TcpStream, sync::mpsc, thread};

use tracing::Level;
use ws_std::{Accept, Backlog, Callbacks, CloseCode, Overflow, Response, Sessions};
use ws_tests::{
    PATIENCE, Raw, RawListener,
    certificates::Authority,
    either::{Adapter, Client, Route, Server},
    eventually,
    wire::Frame,
    with_both_adapters,
};

use self::recorder::{Recorded, recorder};

with_both_adapters! {
    all_events_of_a_connection_have_its_id_peer_and_path
    events_of_the_application_have_the_span_of_their_connection
    errors_and_panics_of_handlers_have_the_level_error
    refused_connections_have_the_level_warn
    a_redirect_that_is_followed_is_no_failure
    dropped_messages_have_the_level_warn_and_the_span_of_the_slow_peer
    start_and_stop_have_the_level_info
    handshakes_and_closings_have_the_level_debug
    frames_have_the_level_trace_with_their_length
    each_frame_of_a_split_message_is_logged
    secrets_never_appear
    counters_cover_handlers
}

/// Returns a path that no other test uses.
fn path(adapter: Adapter, name: &str) -> String {
    format!("/{name}-{adapter:?}")
}

fn texts(events: &[Recorded], level: Level) -> Vec<String> {
    let at = events.iter().filter(|event| event.level == level);
    at.map(|event| event.text().to_owned()).collect()
}

/// Waits until the log of connections with this role and path has an event with this text.
fn wait_for(role: &str, path: &str, text: &str) -> Vec<Recorded> {
    eventually(text, || recorder().of(role, path).iter().any(|event| event.text() == text));
    recorder().of(role, path)
}

const ENDED: &str = "the connection has ended";

fn all_events_of_a_connection_have_its_id_peer_and_path(adapter: Adapter) {
    recorder();
    let path = path(adapter, "span");
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount(&path, route).start();
    let url = format!("ws://{}{path}?query=1", server.address());
    let mut client = Client::new(adapter, &url).connect().unwrap();
    let mut handed = take();
    client.send("Hello").unwrap();
    handed.ws.message();
    let peer = handed.request.peer_addr().unwrap().to_string();
    drop(handed);
    client.receive_to_end().unwrap();
    let events = wait_for("server", &path, ENDED);
    assert!(events.len() >= 4, "{events:?}");
    for event in &events {
        assert_eq!((&event.span["id"], &event.span["peer"]), (&events[0].span["id"], &peer), "{event:?}");
    }
    let events = wait_for("client", &path, ENDED);
    for event in &events {
        assert_eq!(event.span["id"], events[0].span["id"], "{event:?}");
        assert_eq!(event.span["peer"], server.address().to_string());
    }
}

fn events_of_the_application_have_the_span_of_their_connection(adapter: Adapter) {
    recorder();
    let path = path(adapter, "application");
    let callbacks = Callbacks::new().on_message(|session, _| {
        tracing::info!(target: "application", number = %session.id(), "a message");
    });
    let server = Server::new(adapter).mount(&path, Route::callbacks(adapter, callbacks)).start();
    let client = Client::new(adapter, &format!("ws://{}{path}", server.address())).connect().unwrap();
    client.send("Hello").unwrap();
    let events = wait_for("server", &path, "a message");
    let event = events.iter().find(|event| event.target == "application").unwrap();
    assert_eq!(event.fields["number"], event.span["session"]);
}

fn errors_and_panics_of_handlers_have_the_level_error(adapter: Adapter) {
    recorder();
    for (name, then) in [
        ("error", (|| Err("no more room".into())) as fn() -> ws_std::HandlerResult),
        ("panic", || panic!("no more room")),
    ] {
        let path = path(adapter, name);
        let server = Server::new(adapter).mount(&path, Route::after_one(adapter, then)).start();
        let mut client = Client::new(adapter, &format!("ws://{}{path}", server.address())).connect().unwrap();
        client.send("Hello").unwrap();
        assert_eq!(client.receive_to_abnormal_close().code, CloseCode::INTERNAL_ERROR);
        let events = wait_for("server", &path, "the application failed");
        let error = events.iter().find(|event| event.level == Level::ERROR).unwrap();
        assert!(error.fields["error"].contains("no more room"), "{error:?}");
    }
}

fn refused_connections_have_the_level_warn(adapter: Adapter) {
    recorder();
    let path = path(adapter, "nothing-here");
    let server = Server::new(adapter).start();
    Client::new(adapter, &format!("ws://{}{path}", server.address())).connect().unwrap_err();
    let events = wait_for("server", &path, "the connection is refused");
    let refused = events.iter().find(|event| event.level == Level::WARN).unwrap();
    assert!(refused.fields["error"].contains("404"), "{refused:?}");
    let events = wait_for("client", &path, "the opening handshake failed");
    assert_eq!(texts(&events, Level::DEBUG), ["the opening handshake failed"]);

    let server = Server::new(adapter).tls(Authority::shared().server().serving()).start();
    let raw = Raw::connect(server.address());
    raw.write("this is not TLS");
    let own = raw.socket().local_addr().unwrap().to_string();
    let is_refused = |event: &Recorded| {
        event.level == Level::WARN && event.span.get("peer") == Some(&own) && event.fields["kind"] == "tls"
    };
    eventually("the TLS error is logged", || recorder().all().iter().any(is_refused));

    let server = Server::new(adapter).max_connections(0).start();
    let mut raw = Raw::connect(server.address());
    let own = raw.socket().local_addr().unwrap().to_string();
    assert!(raw.head().contains("503"));
    let is_refused = |event: &Recorded| {
        event.level == Level::WARN && event.fields.get("peer").is_some_and(|peer| *peer == own)
    };
    eventually("the refusal is logged", || recorder().all().iter().any(is_refused));
    assert_eq!(recorder().all().iter().filter(|event| is_refused(event)).count(), 1);
}

fn a_redirect_that_is_followed_is_no_failure(adapter: Adapter) {
    recorder();
    let path = path(adapter, "redirect");
    let server = Server::new(adapter).mount(&path, Route::echo(adapter)).start();
    let location = format!("Location: ws://{}{path}\r\n", server.address());
    let listener = RawListener::new();
    let url = format!("ws://{}{path}", listener.address());
    let redirecting = thread::spawn(move || {
        let mut raw = listener.accept();
        raw.head();
        raw.write(format!("HTTP/1.1 302 Elsewhere\r\n{location}Content-Length: 0\r\n\r\n"));
    });
    let client = Client::new(adapter, &url).max_redirects(1).connect().unwrap();
    redirecting.join().unwrap();
    let events = recorder().of("client", &path);
    assert_eq!(texts(&events, Level::DEBUG), ["the WebSocket is open"]);
    assert_eq!(events[0].span["peer"], server.address().to_string());
    drop(client);
}

fn dropped_messages_have_the_level_warn_and_the_span_of_the_slow_peer(adapter: Adapter) {
    recorder();
    let path = path(adapter, "slow");
    let everyone = Sessions::new();
    let backlog = Backlog { overflow: Overflow::KeepLatest, ..Backlog::default() };
    let callbacks = Callbacks::new().sessions(&everyone).backlog(backlog);
    let server = Server::new(adapter).mount(&path, Route::callbacks(adapter, callbacks)).start();
    let raw = Raw::open(server.address(), &path);
    eventually("the session has begun", || everyone.len() == 1);
    while everyone.stats().sum.lagged == 0 {
        everyone.broadcast(vec![7; 64 << 10]);
    }
    for _ in 0..100 {
        everyone.broadcast(vec![7; 64 << 10]);
    }
    let warnings = texts(&recorder().of("server", &path), Level::WARN);
    assert_eq!(warnings, ["the peer reads too slowly, and messages are dropped"]);
    drop(raw);
}

fn start_and_stop_have_the_level_info(adapter: Adapter) {
    recorder();
    let server = Server::new(adapter).start();
    let address = server.address().to_string();
    assert!(server.handle().stop(PATIENCE));
    server.handle().stop(PATIENCE);
    server.served().unwrap();
    let all = recorder().all();
    let begun = all.iter().position(|event| event.fields.get("address") == Some(&address)).unwrap();
    assert_eq!((all[begun].level, all[begun].text()), (Level::INFO, "the server listens"));
    let infos = texts(&all[begun + 1..], Level::INFO);
    for text in ["the server stops", "the server has stopped"] {
        assert!(infos.iter().any(|info| info == text), "{infos:?}");
    }
}

fn handshakes_and_closings_have_the_level_debug(adapter: Adapter) {
    recorder();
    let path = path(adapter, "debug");
    let server = Server::new(adapter).mount(&path, Route::echo(adapter)).start();
    let mut client = Client::new(adapter, &format!("ws://{}{path}", server.address())).connect().unwrap();
    client.close(CloseCode::NORMAL_CLOSURE, "a reason").unwrap();
    client.receive_to_end().unwrap();
    for (role, cause) in [("server", "closed by the peer"), ("client", "closed by this end")] {
        let events = wait_for(role, &path, ENDED);
        assert_eq!(texts(&events, Level::DEBUG), ["the WebSocket is open", ENDED], "{role}");
        let ended = events.iter().find(|event| event.text() == ENDED).unwrap();
        assert_eq!((&*ended.fields["code"], &*ended.fields["cause"]), ("1000", cause));
    }
    // A browser that connects in advance, and a request for a page.
    let before = texts(&recorder().all(), Level::DEBUG).len();
    drop(TcpStream::connect(server.address()).unwrap());
    let has = |text: &str| texts(&recorder().all(), Level::DEBUG)[before..].iter().any(|it| it == text);
    eventually("the client is logged", || has("the client left without a request"));
    let mut raw = Raw::connect(server.address());
    raw.write("GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(raw.head().contains("404"));
    eventually("the page is logged", || has("the request is answered without a WebSocket"));
}

fn frames_have_the_level_trace_with_their_length(adapter: Adapter) {
    recorder();
    let path = path(adapter, "frames");
    let server = Server::new(adapter).mount(&path, Route::echo(adapter)).start();
    let mut raw = Raw::open(server.address(), &path);
    for frame in [
        Frame::text("Hello"),
        Frame::text("Hel").unfinished(),
        Frame::new(0, "lo"),
        Frame::new(2, vec![7; 70_000]),
        Frame::new(9, "ping"),
    ] {
        let is_answered = frame.opcode != 1 || frame.fin;
        raw.send(frame.masked());
        if is_answered {
            raw.frame();
        }
    }
    raw.send(Frame::close(1000, "").masked());
    assert_eq!(raw.rest().unwrap()[0], 0x88);
    let events = wait_for("server", &path, ENDED);
    let frames: Vec<_> = events.iter().filter(|event| event.level == Level::TRACE).collect();
    assert!(frames.iter().all(|event| event.target == "websocket::frame"));
    let shown = |text: &str| -> Vec<_> {
        let shown = frames.iter().filter(|event| event.text() == text);
        shown.map(|it| format!("{} {} {}", it.fields["opcode"], it.fields["len"], it.fields["fin"])).collect()
    };
    assert_eq!(
        shown("frame received"),
        [
            "text 5 true",
            "text 3 false",
            "continuation 2 true",
            "binary 70000 true",
            "ping 4 true",
            "close 2 true"
        ]
    );
    assert_eq!(
        shown("frame sent"),
        ["text 5 true", "text 5 true", "binary 70000 true", "pong 4 true", "close 2 true"]
    );
}

fn each_frame_of_a_split_message_is_logged(adapter: Adapter) {
    recorder();
    let path = path(adapter, "split");
    let route = Route::echo(adapter).configure(|config| {
        (config.max_sent_frame_size, config.deflate) = (1000, None);
    });
    let server = Server::new(adapter).mount(&path, route).start();
    let mut client = Client::new(adapter, &format!("ws://{}{path}", server.address())).connect().unwrap();
    client.send(vec![7; 2500]).unwrap();
    client.message();
    client.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    client.receive_to_end().unwrap();
    let expected = ["binary 1000 false", "continuation 1000 false", "continuation 500 true", "close 2 true"];
    for (role, text) in [("server", "frame sent"), ("client", "frame received")] {
        let events = wait_for(role, &path, ENDED);
        let frames = events.iter().filter(|event| event.text() == text);
        let shown: Vec<_> = frames
            .map(|it| format!("{} {} {}", it.fields["opcode"], it.fields["len"], it.fields["fin"]))
            .collect();
        assert_eq!(shown, expected, "{role}");
    }
}

fn secrets_never_appear(adapter: Adapter) {
    const SECRET: &str = "correct-horse-battery";
    recorder();
    let path = path(adapter, "secret");
    let (errors, reported) = mpsc::channel();
    let route = Route::echo(adapter).check(|request| match request.header("X-Refuse") {
        Some(_) => Err(Response::new(401)),
        None => Ok(Accept::new()),
    });
    let server = Server::new(adapter)
        .mount(&path, route)
        .on_error(move |error| errors.send(error.source().is_some()).expect("the test waits"));
    let server = server.tls(Authority::shared().server().serving()).start();
    let connect = |url: &str, header: &str| {
        Client::new(adapter, url)
            .tls(Authority::shared().trusted())
            .header("Authorization", &format!("Bearer {SECRET}"))
            .header("Cookie", &format!("session={SECRET}"))
            .header(header, SECRET)
            .connect()
    };
    let url = format!("wss://{}{path}?token={SECRET}", server.address());
    let mut client = connect(&url, "X-Any").unwrap();
    for message in [SECRET.repeat(10), SECRET.repeat(10_000)] {
        client.send(message).unwrap();
        client.message();
    }
    client.ping(SECRET.as_bytes()).unwrap();
    client.close(CloseCode::new(4000), SECRET).unwrap();
    let _ = client.receive_to_end();
    connect(&url, "X-Refuse").unwrap_err();
    reported.recv_timeout(PATIENCE).unwrap();
    let with_user = url.replace("wss://", &format!("wss://user:{SECRET}@"));
    let _ = connect(&with_user, "X-Any");
    // A server that closes with a secret reason, and a request target with a user.
    let (route, take) = Route::hand_over(adapter);
    let other = Server::new(adapter).mount(&path, route).start();
    let raw = Raw::open(other.address(), &path);
    let mut handed = take();
    raw.send(Frame::close(1011, SECRET).masked());
    let _ = handed.ws.receive();
    drop(handed);
    let mut raw = Raw::connect(other.address());
    raw.write(format!(
        "GET http://user:{SECRET}@a/?{SECRET} HTTP/1.1\r\nHost: a\r\nCookie: {SECRET}\r\n\r\n"
    ));
    raw.head();
    let events = wait_for("server", &path, ENDED);
    assert!(events.iter().any(|event| event.level == Level::TRACE));
    for event in recorder().all() {
        assert!(!format!("{event:?}").contains(SECRET), "{event:?}");
    }
}

fn counters_cover_handlers(adapter: Adapter) {
    recorder();
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route);
    let monitor = server.monitor();
    let server = server.start();
    let mut client = Client::new(adapter, &format!("ws://{}/", server.address())).connect().unwrap();
    let mut handed = take();
    client.send("Hello").unwrap();
    handed.ws.message();
    handed.ws.send("to you").unwrap();
    client.message();
    for (stats, sent, received) in [(handed.ws.stats(), 6, 5), (client.stats(), 5, 6)] {
        assert_eq!((stats.messages_sent, stats.bytes_sent), (1, sent));
        assert_eq!((stats.messages_received, stats.bytes_received), (1, received));
    }
    drop(handed);
    client.receive_to_end().unwrap();
    eventually("the end is counted", || monitor.stats().closed_normally == 1);
    let stats = monitor.stats();
    assert_eq!((stats.accepted, stats.sessions.sum.bytes_received, stats.sessions.sum.bytes_sent), (1, 5, 6));
    assert!(stats.to_prometheus().contains("\nwebsocket_closed_normally_total 1\n"));
}
