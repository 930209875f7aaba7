//! Statistics of sessions and servers.

use std::time::Duration;

use ws_std::{
    Callbacks, Chunk, CloseCode, Deflate, Delivery, Keepalive, PreparedMessage, Response, ServerStats,
    Sessions,
};
use ws_tests::{
    Raw, Transport,
    either::{Adapter, Client, Pairing, Route, Server},
    eventually,
    wire::{self, Frame},
    with_both_adapters,
};

with_both_adapters! {
    a_session_counts_messages_bytes_and_pings
    a_session_knows_its_latency
    a_server_counts_whom_it_accepts_and_refuses
    handlers_count_messages_and_bytes_as_callbacks_do
    chunks_and_prepared_messages_of_a_handler_count_as_messages
    every_connection_attempt_is_counted_by_kind
    what_a_server_counts_is_served_to_prometheus
    callbacks_and_loops_live_on_one_server
    callbacks_get_whole_messages_though_they_come_in_chunks
    a_broadcast_is_compressed_once_and_understood_by_all
}

fn echo(sessions: &Sessions) -> Callbacks {
    Callbacks::new().sessions(sessions).on_message(|session, message| session.feed(message).unwrap())
}

fn a_session_counts_messages_bytes_and_pings(adapter: Adapter) {
    let everyone = Sessions::new();
    let server = Server::new(adapter).mount("/", Route::callbacks(adapter, echo(&everyone))).start();
    let mut raws = [Raw::open(server.address(), "/"), Raw::open(server.address(), "/")];
    eventually("both are there", || everyone.len() == 2);
    let first = everyone.all()[0].clone();
    for raw in &mut raws {
        raw.send(Frame::text("four"));
        raw.send(Frame::new(Frame::BINARY, [0; 1000]).unfinished());
        raw.send(Frame::new(Frame::CONTINUATION, [0; 500]));
        raw.send(Frame::new(Frame::PING, "ping"));
        let mut pong = false;
        for _ in 0..3 {
            pong |= raw.frame().opcode == Frame::PONG;
        }
        assert!(pong);
    }
    // The client may see the last reply before the server has noted that it is written.
    eventually("all is written", || first.stats().buffered == 0);
    let stats = first.stats();
    assert_eq!((stats.messages_received, stats.bytes_received, stats.pings_received), (2, 1504, 1));
    assert_eq!((stats.messages_sent, stats.bytes_sent, stats.buffered), (2, 1504, 0));
    let [one, _two] = raws;
    drop(one);
    eventually("one is gone", || everyone.len() == 1);
    let stats = everyone.stats();
    assert_eq!((stats.open, stats.opened), (1, 2));
    assert_eq!((stats.sum.messages_received, stats.sum.bytes_sent, stats.sum.pings_received), (4, 3008, 2));
    assert_eq!(first.stats().messages_received, 2, "it still knows");
}

fn a_session_knows_its_latency(adapter: Adapter) {
    let everyone = Sessions::new();
    let interval = Duration::from_millis(20);
    let route = Route::callbacks(adapter, echo(&everyone))
        .configure(move |config| config.keepalive = Some(Keepalive { interval, ..Keepalive::default() }));
    let server = Server::new(adapter).mount("/", route).start();
    let url = format!("ws://{}/", server.address());
    let client = Client::new(adapter, &url).start(Callbacks::new()).unwrap();
    eventually("a ping was answered", || everyone.stats().sum.latency.is_some());
    let latency = everyone.all()[0].stats().latency.unwrap();
    assert!(latency < ws_tests::SLACK, "{latency:?}");
    assert!(client.session().stats().pings_received > 0);
    assert!(client.stop(ws_tests::PATIENCE));
}

fn status(raw: &mut Raw, path: &str) -> u16 {
    raw.write(wire::request(path, &[]));
    raw.reply().status
}

fn a_server_counts_whom_it_accepts_and_refuses(adapter: Adapter) {
    let everyone = Sessions::new();
    let server = Server::new(adapter)
        .mount("/", Route::callbacks(adapter, echo(&everyone)))
        .mount("/closed", Route::echo(adapter).check(|_| Err(Response::new(403))))
        .max_connections(2);
    let monitor = server.monitor();
    let server = server.start();
    let stats = || {
        let stats = monitor.stats();
        (stats.connections, stats.accepted, stats.refused)
    };
    assert_eq!(stats(), (0, 0, 0));
    for (path, expected) in [("/nowhere", 404), ("/closed", 403)] {
        assert_eq!(status(&mut Raw::connect(server.address()), path), expected);
        eventually("the connection is gone", || stats().0 == 0);
    }
    assert_eq!(stats(), (0, 0, 2));
    let open = [Raw::open(server.address(), "/"), Raw::open(server.address(), "/")];
    assert_eq!(stats(), (2, 2, 2));
    assert_eq!(Raw::connect(server.address()).reply().status, 503);
    assert_eq!(stats(), (2, 2, 3));
    drop(open);
    eventually("all are gone", || stats() == (0, 2, 3));
    assert_eq!(monitor.stats().sessions.opened, 2);
}

fn handlers_count_messages_and_bytes_as_callbacks_do(adapter: Adapter) {
    let counted = [Route::echo(adapter), Route::callbacks(adapter, echo(&Sessions::new()))].map(|route| {
        let server = Server::new(adapter).mount("/", route);
        let monitor = server.monitor();
        let server = server.start();
        let mut raw = Raw::open(server.address(), "/");
        for _ in 0..3 {
            raw.send(Frame::text("four"));
            raw.send(Frame::new(Frame::PING, "ping"));
            assert!(raw.frame().opcode != raw.frame().opcode, "a pong and an echo");
        }
        // The client may see the last reply before the server has noted that it is written.
        eventually("all is written", || monitor.stats().sessions.sum.buffered == 0);
        let open = monitor.stats().sessions;
        assert_eq!(open.open, 1);
        drop(raw);
        eventually("it has ended", || monitor.stats().connections == 0);
        let ended = monitor.stats().sessions;
        assert_eq!((ended.open, &ended.sum), (0, &open.sum), "an end takes nothing off");
        ended
    });
    let [of_handler, of_callbacks] = counted;
    assert_eq!(of_handler, of_callbacks);
    let sum = of_handler.sum;
    assert_eq!((of_handler.opened, sum.messages_received, sum.bytes_received), (1, 3, 12));
    assert_eq!((sum.messages_sent, sum.bytes_sent, sum.pings_received), (3, 12, 3));
}

fn chunks_and_prepared_messages_of_a_handler_count_as_messages(adapter: Adapter) {
    let (route, take) = Route::hand_over(adapter);
    let route = route.configure(|config| config.delivery = Delivery::Chunks);
    let server = Server::new(adapter).mount("/", route);
    let monitor = server.monitor();
    let server = server.start();
    let raw = Raw::open(server.address(), "/");
    let mut handed = take();
    let sender = handed.ws.sender();
    handed.ws.send_chunk(Chunk::new("in ")).unwrap();
    handed.ws.send_chunk(Chunk::last("two")).unwrap();
    handed.ws.send_prepared(&PreparedMessage::new("prepared")).unwrap();
    sender.send("whole".to_owned()).unwrap();
    raw.send(Frame::text("in ").unfinished());
    raw.send(Frame::new(Frame::CONTINUATION, "two"));
    while !handed.ws.receive_chunk().unwrap().unwrap().last {}
    let sum = monitor.stats().sessions.sum;
    assert_eq!((sum.messages_sent, sum.bytes_sent), (3, 6 + 8 + 5));
    assert_eq!((sum.messages_received, sum.bytes_received), (1, 6));
}

fn every_connection_attempt_is_counted_by_kind(adapter: Adapter) {
    let pairing = Pairing::of(adapter, Transport::Tls);
    for transport in Transport::BOTH {
        let server = Pairing { transport, ..pairing }.serve(Route::echo(adapter));
        let server = server.page("/page", |_| Response::new(200).text("hello")).max_connections(1);
        let monitor = server.monitor();
        let server = server.start();
        let mut attempts = 0;
        let mut attempt = |of: &str, end: &dyn Fn()| {
            end();
            attempts += 1;
            eventually(of, || {
                let stats = monitor.stats();
                let counted =
                    stats.accepted + stats.refused + stats.tls_errors + stats.pages + stats.abandoned;
                counted == attempts && stats.connections == 0
            });
        };
        attempt("nothing is sent", &|| drop(Raw::connect(server.address())));
        attempt("garbage", &|| {
            let mut raw = Raw::connect(server.address());
            raw.write("garbage\r\n\r\n");
            while raw.read(&mut [0; 256]).is_ok_and(|read| read > 0) {}
        });
        attempt("half a request", &|| {
            let raw = Raw::connect(server.address());
            raw.write(if transport.is_tls() { &b"\x16\x03\x01"[..] } else { b"GET / HT" });
        });
        attempt("a WebSocket", &|| {
            let client = Pairing { transport, ..pairing }.client(&server, "/");
            client.connect().unwrap().close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        });
        attempt("a WebSocket where nothing is served", &|| {
            Pairing { transport, ..pairing }.client(&server, "/nowhere").connect().unwrap_err();
        });
        if !transport.is_tls() {
            attempt("a page", &|| {
                let mut raw = Raw::connect(server.address());
                raw.write("GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
                assert_eq!(raw.reply().status, 200);
            });
        }
        let stats = monitor.stats();
        let errors = (stats.abandoned, stats.tls_errors, stats.refused);
        assert_eq!((stats.accepted, stats.pages), (1, u64::from(!transport.is_tls())));
        assert_eq!(errors, if transport.is_tls() { (2, 1, 1) } else { (1, 0, 3) });
    }
}

fn what_a_server_counts_is_served_to_prometheus(adapter: Adapter) {
    let everyone = Sessions::new();
    let server = Server::new(adapter).mount("/", Route::callbacks(adapter, echo(&everyone)));
    let monitor = server.monitor();
    let metrics = move |_: &_| {
        let text = monitor.stats().to_prometheus();
        Response::new(200).header("Content-Type", ServerStats::PROMETHEUS).body(text)
    };
    let server = match server {
        Server::Std(server) => Server::Std(server.page("/metrics", metrics)),
        Server::Smol(server) => Server::Smol(server.page("/metrics", metrics)),
    };
    let server = server.start();
    let mut ws = Raw::open(server.address(), "/");
    ws.send(Frame::text("hello"));
    assert_eq!(ws.frame(), Frame::text("hello"));
    assert_eq!(status(&mut Raw::connect(server.address()), "/nowhere"), 404);
    eventually("the refused one is gone", || server.handle().connections() == 1);
    let mut raw = Raw::connect(server.address());
    raw.write("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let reply = raw.reply();
    assert_eq!(reply.status, 200);
    assert_eq!(wire::header(&reply.head, "Content-Type"), Some("text/plain; version=0.0.4"));
    for line in [
        "websocket_connections 2",
        "websocket_accepted_total 1",
        "websocket_refused_total 1",
        "websocket_sessions 1",
        "websocket_messages_received_total 1",
        "websocket_received_bytes_total 5",
        "websocket_messages_sent_total 1",
        "websocket_sent_bytes_total 5",
        "# TYPE websocket_sessions gauge",
    ] {
        assert!(reply.body.lines().any(|there| there == line), "{line} is not in\n{}", reply.body);
    }
    assert!(reply.body.ends_with('\n'));
}

fn callbacks_and_loops_live_on_one_server(adapter: Adapter) {
    let everyone = Sessions::new();
    let server = Server::new(adapter)
        .mount("/callbacks", Route::callbacks(adapter, echo(&everyone)))
        .mount("/loop", Route::echo(adapter))
        .start();
    let mut raws = ["/callbacks", "/loop"].map(|path| Raw::open(server.address(), path));
    for number in 0..10 {
        for raw in &mut raws {
            raw.send(Frame::text(&number.to_string()));
            assert_eq!(raw.frame(), Frame::text(&number.to_string()));
        }
    }
    assert_eq!((everyone.stats().opened, server.handle().connections()), (1, 2));
}

fn callbacks_get_whole_messages_though_they_come_in_chunks(adapter: Adapter) {
    let everyone = Sessions::new();
    let route = Route::callbacks(adapter, echo(&everyone)).configure(|config| {
        config.delivery = Delivery::Chunks;
        config.max_message_size = 2 << 20;
    });
    let server = Server::new(adapter).mount("/", route).start();
    let mut raw = Raw::open(server.address(), "/");
    raw.send(Frame::text("in ").unfinished());
    raw.send(Frame::new(Frame::CONTINUATION, "three ").unfinished());
    raw.send(Frame::new(Frame::CONTINUATION, "pieces"));
    assert_eq!(raw.frame(), Frame::text("in three pieces"));
    raw.send(Frame::text(""));
    assert_eq!(raw.frame(), Frame::text(""));
    let large = Vec::from_iter((0..1 << 20).map(|at| (at % 251) as u8));
    raw.send(Frame::new(Frame::BINARY, large.clone()));
    assert_eq!(raw.frame(), Frame::new(Frame::BINARY, large));
    assert_eq!(everyone.stats().sum.messages_received, 3);
}

fn a_broadcast_is_compressed_once_and_understood_by_all(adapter: Adapter) {
    let everyone = Sessions::new();
    let deflate = |config: &mut ws_std::Config| config.deflate = Some(Deflate::default());
    let route = Route::callbacks(adapter, Callbacks::new().sessions(&everyone)).configure(deflate);
    let server = Server::new(adapter).mount("/", route).start();
    let url = format!("ws://{}/", server.address());
    let mut clients = Vec::from_iter((0..20).map(|_| {
        let client = Client::new(adapter, &url).configure(deflate);
        client.connect().unwrap()
    }));
    // One client that does not compress, and two whose bytes are checked.
    clients.push(Client::new(adapter, &url).connect().unwrap());
    let mut raws = [(); 2].map(|()| {
        let mut raw = Raw::connect(server.address());
        raw.write(wire::request("/", &["Sec-WebSocket-Extensions: permessage-deflate"]));
        assert!(raw.head().contains("permessage-deflate"));
        raw
    });
    eventually("all are there", || everyone.len() == 23);
    let text = "again and again, ".repeat(10_000);
    assert_eq!(everyone.broadcast(&text), 23);
    for client in &mut clients {
        assert_eq!(client.message(), *text);
    }
    let compressed = raws.each_mut().map(|raw| {
        let mut header = [0; 4];
        let mut read = 0;
        while read < 4 {
            read += raw.read(&mut header[read..]).unwrap();
        }
        // RSV1 and text, then two bytes of length.
        assert_eq!((header[0], header[1]), (0xC1, 126));
        let mut payload = vec![0; u16::from_be_bytes([header[2], header[3]]).into()];
        let mut read = 0;
        while read < payload.len() {
            read += raw.read(&mut payload[read..]).unwrap();
        }
        payload
    });
    assert_eq!(compressed[0], compressed[1]);
    assert_eq!(everyone.stats().sum.bytes_sent, 23 * text.len() as u64, "before compression");
}
