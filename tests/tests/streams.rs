//! WebSockets on streams of the application: sockets, readers and writers, `async-net` and tokio, in all combinations.

use std::thread;

use ws_std::{Chunk, CloseCode, Error, Event, HandshakeError};
use ws_tests::{
    either::WebSocket,
    streams::{Streams, pairs},
    with_every_stream,
};

with_every_stream! {
    messages_of_all_sizes_are_echoed_unchanged
    chunks_arrive_as_one_message_in_both_directions
    a_close_has_its_code_and_its_reason_at_the_other_end
    everything_that_was_sent_before_a_close_arrives
    an_end_that_is_dropped_is_a_lost_connection_for_the_other
    a_ping_comes_back_as_a_pong
    a_refused_request_is_an_error_at_both_ends
}

fn echo(mut ws: WebSocket) {
    while let Some(message) = ws.receive().unwrap() {
        ws.feed(message).unwrap();
    }
}

fn messages_of_all_sizes_are_echoed_unchanged(streams: Streams) {
    for (mut client, server) in streams.open() {
        let serving = thread::spawn(move || echo(server));
        for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            client.send(&*bytes).unwrap();
            assert!(client.message() == bytes[..], "{size} bytes");
            let text = "ü".repeat(size / 2);
            client.send(&*text).unwrap();
            assert!(client.message() == *text, "{size} bytes of text");
        }
        client.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        assert!(client.close_info().was_clean);
        serving.join().unwrap();
    }
}

fn chunks_arrive_as_one_message_in_both_directions(streams: Streams) {
    for (mut client, mut server) in streams.open() {
        let check = |from: &mut WebSocket, to: &mut WebSocket| {
            from.send_chunk(Chunk::new("one ")).unwrap();
            from.send_chunk(Chunk::last("message")).unwrap();
            assert_eq!(to.message(), "one message");
        };
        check(&mut client, &mut server);
        check(&mut server, &mut client);
    }
}

fn a_close_has_its_code_and_its_reason_at_the_other_end(streams: Streams) {
    let code = CloseCode::new(4321);
    let check = |mut closing: WebSocket, mut other: WebSocket| {
        let receiving = thread::spawn(move || other.receive_to_abnormal_close());
        closing.close(code, "because").unwrap();
        let close_info = receiving.join().unwrap();
        assert_eq!((close_info.code, &*close_info.reason), (code, "because"));
        assert!(closing.close_info().was_clean);
    };
    streams.open().into_iter().for_each(|(client, server)| check(client, server));
    streams.open().into_iter().for_each(|(client, server)| check(server, client));
}

fn everything_that_was_sent_before_a_close_arrives(streams: Streams) {
    const COUNT: usize = 300;
    let check = |mut closing: WebSocket, mut other: WebSocket| {
        let receiving = thread::spawn(move || {
            let mut count = 0;
            while let Some(message) = other.receive().unwrap() {
                assert!(message == vec![count as u8; 10_000][..]);
                count += 1;
            }
            count
        });
        for number in 0..COUNT {
            closing.feed(vec![number as u8; 10_000]).unwrap();
        }
        closing.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        assert_eq!(receiving.join().unwrap(), COUNT);
    };
    streams.open().into_iter().for_each(|(client, server)| check(client, server));
    streams.open().into_iter().for_each(|(client, server)| check(server, client));
}

fn an_end_that_is_dropped_is_a_lost_connection_for_the_other(streams: Streams) {
    for (client, mut server) in streams.open() {
        drop(client);
        let error = server.receive_to_end().unwrap_err();
        assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
    }
    for (mut client, server) in streams.open() {
        drop(server);
        let error = client.receive_to_end().unwrap_err();
        assert!(matches!(error, Error::Disconnected(_)), "{error:?}");
    }
}

fn a_ping_comes_back_as_a_pong(streams: Streams) {
    for (mut client, server) in streams.open() {
        let serving = thread::spawn(move || echo(server));
        client.ping(b"marco").unwrap();
        let event = client.receive_event().unwrap();
        assert!(matches!(&event, Some(Event::Pong(payload)) if &**payload == b"marco"), "{event:?}");
        client.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        serving.join().unwrap();
    }
}

fn a_refused_request_is_an_error_at_both_ends(streams: Streams) {
    for (client, server) in pairs() {
        let accepting = thread::spawn(move || streams.server.accept(server));
        let origin = Some(("Origin", "https://evil.example"));
        let refused = streams.client.connect(client, origin).unwrap_err();
        let Error::Handshake(HandshakeError::Refused(response)) = &refused else { panic!("{refused:?}") };
        assert_eq!(response.status(), 403);
        let refused = accepting.join().unwrap().unwrap_err();
        assert!(matches!(refused, Error::Handshake(_)), "{refused:?}");
    }
}
