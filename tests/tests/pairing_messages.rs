//! Messages between the adapters, in all combinations, with and without TLS.

use std::thread;

use ws_std::{Chunk, CloseCode, Delivery, Event, Message, PreparedMessage};
use ws_tests::{
    either::{Pairing, Route, WebSocket},
    with_every_pairing,
};

with_every_pairing! {
    messages_of_all_sizes_are_echoed_unchanged
    large_messages_and_small_ones_follow_each_other
    text_in_many_scripts_is_echoed_unchanged
    many_small_messages_are_echoed_in_order
    chunks_arrive_as_one_message_in_both_directions
    a_long_message_is_received_in_chunks
    a_ping_comes_back_as_a_pong_in_both_directions
    a_prepared_message_arrives_like_any_other
    a_message_fed_leaves_with_the_wait_for_the_next
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 251) as u8).collect()
}

fn messages_of_all_sizes_are_echoed_unchanged(pairing: Pairing) {
    let (_server, mut ws) = pairing.echo();
    for size in [0, 1, 125, 126, 127, 16_383, 16_384, 16_385, 65_535, 65_536, 1 << 20] {
        let bytes = pattern(size);
        ws.send(&*bytes).unwrap();
        assert!(ws.message() == bytes[..], "{size} bytes");
        let text: String = (0..size).map(|at| char::from(b' ' + (at % 95) as u8)).collect();
        ws.send(&*text).unwrap();
        assert!(ws.message() == *text, "{size} characters");
    }
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    assert!(ws.close_info().was_clean);
}

fn large_messages_and_small_ones_follow_each_other(pairing: Pairing) {
    let (_server, mut ws) = pairing.echo();
    let large = [65_536, 65_536, 65_536, 65_536, 70_000, 200_000, 64_000, 20_000, 65_536, 65_536, 300_000];
    for (at, &size) in large.iter().enumerate() {
        let messages = match at % 4 {
            0 => vec![Message::from(pattern(size))],
            1 => vec![Message::from(pattern(size)), Message::from("small")],
            2 => vec![Message::from(pattern(size)), Message::from("x".repeat(size))],
            _ => vec![Message::from(pattern(size)), Message::from(pattern(size)), Message::from(&[][..])],
        };
        for message in &messages {
            ws.feed(message.clone()).unwrap();
        }
        for message in &messages {
            assert!(ws.message() == *message, "{} bytes after {size}", message.len());
        }
        ws.ping(b"between").unwrap();
    }
}

fn text_in_many_scripts_is_echoed_unchanged(pairing: Pairing) {
    let (_server, mut ws) = pairing.echo();
    let text = "Grüße, Ελληνικά, Кириллица, हिन्दी, 日本語, 👩‍👩‍👧 \u{0}\u{10FFFF}";
    for times in [1, 100, 10_000] {
        let text = text.repeat(times);
        ws.send(&*text).unwrap();
        assert!(ws.message() == *text, "{times} times");
    }
}

fn many_small_messages_are_echoed_in_order(pairing: Pairing) {
    let (_server, mut ws) = pairing.echo();
    for round in 0..10 {
        for number in 0..200 {
            ws.feed(format!("{round} {number}")).unwrap();
        }
        for number in 0..200 {
            assert_eq!(ws.message(), *format!("{round} {number}"));
        }
    }
}

fn chunks_arrive_as_one_message_in_both_directions(pairing: Pairing) {
    let (_server, mut handed, mut client) = pairing.open();
    let check = |from: &mut WebSocket, to: &mut WebSocket| {
        for piece in ["one ", "", "message ", "in "] {
            from.send_chunk(Chunk::new(piece)).unwrap();
        }
        from.ping(b"between").unwrap();
        from.send_chunk(Chunk::last("pieces")).unwrap();
        assert_eq!(to.message(), "one message in pieces");
        from.send_chunk(Chunk::new(&[1, 2][..])).unwrap();
        from.send_chunk(Chunk::last(&[][..])).unwrap();
        assert_eq!(to.message(), [1, 2][..]);
    };
    check(&mut client, &mut handed.ws);
    check(&mut handed.ws, &mut client);
}

fn a_long_message_is_received_in_chunks(pairing: Pairing) {
    const SIZE: usize = 4 << 20;
    let (route, take) = Route::hand_over(pairing.server);
    let route = route.configure(|config| {
        config.delivery = Delivery::Chunks;
        config.max_message_size = SIZE;
    });
    let server = pairing.serve(route).start();
    let client = pairing.client(&server, "/").connect().unwrap();
    let mut handed = take();
    let sending = thread::spawn(move || {
        client.send(pattern(SIZE)).unwrap();
        client
    });
    let (mut received, mut chunks) = (Vec::new(), 0);
    loop {
        let chunk = handed.ws.receive_chunk().unwrap().unwrap();
        received.extend_from_slice(chunk.payload.as_bytes());
        chunks += 1;
        if chunk.last {
            break;
        }
    }
    assert!(received == pattern(SIZE));
    assert!(chunks > 4, "{chunks} chunks");
    sending.join().unwrap();
}

fn a_ping_comes_back_as_a_pong_in_both_directions(pairing: Pairing) {
    let (_server, handed, mut client) = pairing.open();
    let mut server = handed.ws;
    client.ping(b"marco").unwrap();
    // `receive` answers the ping before it waits again.
    let receiving = thread::spawn(move || {
        let Some(Event::Ping(payload)) = server.receive_event().unwrap() else { panic!("no ping") };
        assert_eq!(&*payload, b"marco");
        assert_eq!(server.message(), "thanks");
        server
    });
    let Some(Event::Pong(payload)) = client.receive_event().unwrap() else { panic!("no pong") };
    assert_eq!(&*payload, b"marco");
    client.send("thanks").unwrap();
    let mut server = receiving.join().unwrap();
    server.ping(b"").unwrap();
    let receiving = thread::spawn(move || client.message());
    let Some(Event::Pong(payload)) = server.receive_event().unwrap() else { panic!("no pong") };
    assert_eq!(&*payload, b"");
    server.send("bye").unwrap();
    assert_eq!(receiving.join().unwrap(), "bye");
}

fn a_prepared_message_arrives_like_any_other(pairing: Pairing) {
    let (_server, mut handed, mut client) = pairing.open();
    for size in [0, 3, 100_000] {
        let bytes = pattern(size);
        let message = PreparedMessage::new(&*bytes);
        for _ in 0..3 {
            handed.ws.send_prepared(&message).unwrap();
            assert!(client.message() == bytes[..]);
            client.send_prepared(&message).unwrap();
            assert!(handed.ws.message() == bytes[..]);
        }
    }
}

fn a_message_fed_leaves_with_the_wait_for_the_next(pairing: Pairing) {
    let (_server, mut handed, client) = pairing.open();
    let asking = thread::spawn(move || {
        let mut client = client;
        client.feed(Message::from("question")).unwrap();
        client.message()
    });
    assert_eq!(handed.ws.message(), "question");
    handed.ws.send("answer").unwrap();
    assert_eq!(asking.join().unwrap(), "answer");
}
