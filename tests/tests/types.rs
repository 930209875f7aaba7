//! JSON messages, addresses of the crate `url`, connections and messages as streams of bytes, and the sockets of
//! connections.

use std::{
    io::{self, BufRead as _, ErrorKind, Read as _, Write as _},
    os::fd::AsFd as _,
    thread,
};

use serde::{Deserialize, Serialize};
use ws_std::{Callbacks, Chunk, CloseCode, Delivery, Error, JsonError, Message, Sessions};
use ws_tests::{
    Transport, bounded,
    either::{Adapter, Handed, Pairing, Route, Running, WebSocket},
    with_both_adapters, with_every_pairing,
};

with_both_adapters! {
    values_are_sent_and_received_as_json
    a_message_that_is_not_the_expected_json_leaves_the_connection_open
    a_value_without_a_form_in_json_is_not_sent
    sessions_send_and_broadcast_json
    json_that_exceeds_the_maximum_message_size_is_refused
    an_address_of_the_crate_url_is_an_address
    a_stream_of_bytes_ends_only_with_a_normal_close
    a_text_message_is_no_part_of_a_stream_of_bytes
    bytes_are_sent_when_they_are_flushed_or_before_a_read_waits
    a_reader_returns_a_message_while_it_arrives
    a_reader_that_is_dropped_skips_the_rest_of_its_message
    a_reader_reports_the_end_of_the_connection_within_a_message
    a_writer_sends_one_message_of_unknown_length
    a_writer_that_is_dropped_aborts_its_message
    the_socket_of_a_connection_is_available
}

with_every_pairing! {
    a_stream_of_bytes_is_echoed_in_both_directions_at_once
}

fn open(adapter: Adapter) -> (Running, Handed, WebSocket) {
    Pairing::of(adapter, Transport::Plain).open()
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Tick {
    symbol: String,
    price: f64,
}

fn values_are_sent_and_received_as_json(adapter: Adapter) {
    let (_server, mut server, mut client) = open(adapter);
    let tick = Tick { symbol: "ÄÖÜ".into(), price: 1.5 };
    client.send_json(&tick).unwrap();
    assert_eq!(server.ws.message(), r#"{"symbol":"ÄÖÜ","price":1.5}"#);
    server.ws.send_json(&[&tick, &tick]).unwrap();
    let ticks: Vec<Tick> = client.receive_json().unwrap().unwrap();
    assert_eq!(ticks.len(), 2);
    assert_eq!(ticks[0], tick);
    client.send_json("a string").unwrap();
    let text: String = server.ws.receive_json().unwrap().unwrap();
    assert_eq!(text, "a string");
    let closing = thread::spawn(move || server.ws.receive_json::<Tick>());
    client.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    assert_eq!(closing.join().unwrap().unwrap(), None);
}

fn a_message_that_is_not_the_expected_json_leaves_the_connection_open(adapter: Adapter) {
    let (_server, mut server, client) = open(adapter);
    for message in ["{\"symbol\": 7}", "not json", "[", ""] {
        client.send(message).unwrap();
    }
    client.send(b"{}").unwrap();
    client.send_chunk(Chunk::new("{\"symbol\": \"A\",")).unwrap();
    client.send_chunk(Chunk::last("\"price\": 2}")).unwrap();
    for _ in 0..4 {
        let error = server.ws.receive_json::<Tick>().unwrap_err();
        assert!(matches!(&error, Error::Json(JsonError::Read(_))), "{error:?}");
        assert!(error.to_string().starts_with("the peer sent ") && !error.is_transient(), "{error}");
    }
    let error = server.ws.receive_json::<Tick>().unwrap_err();
    assert!(matches!(error, Error::Json(JsonError::Binary { len: 2 })), "{error:?}");
    let tick: Tick = server.ws.receive_json().unwrap().unwrap();
    assert_eq!(tick, Tick { symbol: "A".into(), price: 2.0 });
}

fn a_value_without_a_form_in_json_is_not_sent(adapter: Adapter) {
    let (_server, mut server, client) = open(adapter);
    let map = std::collections::BTreeMap::from([([1], 2)]);
    let error = client.send_json(&map).unwrap_err();
    assert!(matches!(&error, Error::Json(JsonError::Write(_))), "{error:?}");
    client.send("next").unwrap();
    assert_eq!(server.ws.message(), "next");
}

fn sessions_send_and_broadcast_json(adapter: Adapter) {
    let all = Sessions::new();
    let callbacks = Callbacks::new().sessions(&all.clone()).on_message(move |session, message| match message
        .parse_json::<Tick>(
    ) {
        Ok(tick) => {
            all.broadcast(Message::json(&tick).unwrap());
        }
        Err(error) => session.send(error.to_string()).unwrap(),
    });
    let pairing = Pairing::of(adapter, Transport::Plain);
    let server = pairing.call_back(callbacks);
    let mut clients = [(); 2].map(|()| pairing.client(&server, "/").connect().unwrap());
    let tick = Tick { symbol: "A".into(), price: 1.0 };
    // A client is in the set when it has its answer.
    for client in &mut clients {
        client.send("no tick").unwrap();
        assert!(client.message().as_text().unwrap().starts_with("the peer sent text that is not JSON"));
    }
    clients[0].send_json(&tick).unwrap();
    for client in &mut clients {
        assert_eq!(client.receive_json::<Tick>().unwrap().as_ref(), Some(&tick));
    }
}

fn json_that_exceeds_the_maximum_message_size_is_refused(adapter: Adapter) {
    let (route, take) = Route::hand_over(adapter);
    let pairing = Pairing::of(adapter, Transport::Plain);
    let server = pairing.serve(route.configure(|config| config.max_message_size = 100)).start();
    let client = pairing.client(&server, "/").connect().unwrap();
    let mut handed = take();
    client.send_json(&"x".repeat(99)).unwrap();
    let error = handed.ws.receive_json::<String>().unwrap_err();
    assert!(matches!(error, Error::Protocol(_)), "{error:?}");
}

fn an_address_of_the_crate_url_is_an_address(adapter: Adapter) {
    let (server, _handed, _client) = open(adapter);
    let url = url::Url::parse(&format!("http://{}/", server.address())).unwrap();
    let connect = |url: &url::Url| match adapter {
        Adapter::Std => ws_std::connect(url).map(WebSocket::Std),
        Adapter::Smol => smol::block_on(ws_smol::connect(url)).map(WebSocket::Smol),
    };
    connect(&url).unwrap();
    let url = url.join("#fragment").unwrap();
    assert!(matches!(connect(&url), Err(Error::Url(_))));
    // Text and the URL of this library are addresses too.
    let text = format!("ws://{}/", server.address());
    let parsed: ws_std::Url = text.parse().unwrap();
    match adapter {
        Adapter::Std => {
            drop(ws_std::connect(&parsed).unwrap());
            drop(ws_std::connect(&text).unwrap());
            drop(ws_std::connect(&*text).unwrap());
        }
        Adapter::Smol => smol::block_on(async {
            drop(ws_smol::connect(&parsed).await.unwrap());
            drop(ws_smol::connect(&text).await.unwrap());
            drop(ws_smol::connect(&*text).await.unwrap());
        }),
    }
}

fn a_stream_of_bytes_is_echoed_in_both_directions_at_once(pairing: Pairing) {
    const MUCH: usize = 3 << 20;
    let (_server, handed, client) = pairing.open();
    let echoing = thread::spawn(move || {
        let (mut writer, mut reader) = handed.ws.into_byte_halves();
        io::copy(&mut reader, &mut writer)
    });
    let (mut writer, mut reader) = client.into_byte_halves();
    let sent: Vec<u8> = (0..MUCH).map(|at| (at % 251) as u8).collect();
    let expected = sent.clone();
    let reading = thread::spawn(move || {
        let mut received = vec![0; MUCH];
        reader.read_exact(&mut received).unwrap();
        assert!(received == expected);
    });
    writer.write_all(&sent).unwrap();
    writer.flush().unwrap();
    reading.join().unwrap();
    // The client is dropped without a Close, so that the copy fails.
    drop(writer);
    assert_eq!(echoing.join().unwrap().unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

fn a_stream_of_bytes_ends_only_with_a_normal_close(adapter: Adapter) {
    for (code, expected) in [
        (CloseCode::NORMAL_CLOSURE, Ok(3)),
        (CloseCode::GOING_AWAY, Ok(3)),
        (CloseCode::INTERNAL_ERROR, Err(ErrorKind::ConnectionAborted)),
    ] {
        let (_server, mut server, client) = open(adapter);
        let reading = thread::spawn(move || client.into_byte_stream().read_to_end(&mut Vec::new()));
        server.ws.send(b"abc").unwrap();
        server.ws.close(code, "").unwrap();
        assert_eq!(reading.join().unwrap().map_err(|error| error.kind()), expected, "{code}");
    }
    let (_server, server, client) = open(adapter);
    client.send(b"abc").unwrap();
    drop(client);
    let mut stream = server.ws.into_byte_stream();
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert!(matches!(error.downcast::<Error>(), Ok(Error::Disconnected(_))));
    // An error is returned once. Writing fails from now on.
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    assert!(stream.write(b"x").is_err());
}

fn a_text_message_is_no_part_of_a_stream_of_bytes(adapter: Adapter) {
    let (_server, server, client) = open(adapter);
    client.send(b"bytes").unwrap();
    client.send("text").unwrap();
    client.send(b" more").unwrap();
    let mut stream = server.ws.into_byte_stream();
    let mut buffer = [0; 5];
    stream.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"bytes");
    assert_eq!(stream.read(&mut buffer).unwrap_err().kind(), ErrorKind::InvalidData);
    stream.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b" more");
}

fn bytes_are_sent_when_they_are_flushed_or_before_a_read_waits(adapter: Adapter) {
    let (_server, server, client) = open(adapter);
    let answering = thread::spawn(move || {
        let mut stream = server.ws.into_byte_stream();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        stream.write_all(line.to_uppercase().as_bytes()).unwrap();
        stream.flush().unwrap();
        stream.read(&mut [0]).unwrap_err().kind()
    });
    let mut stream = client.into_byte_stream();
    stream.write_all(b"a ").unwrap();
    stream.write_all(b"line\n").unwrap();
    assert_eq!(stream.write(b"").unwrap(), 0);
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert_eq!(line, "A LINE\n");
    drop(stream);
    assert_eq!(answering.join().unwrap(), ErrorKind::UnexpectedEof);
}

fn in_chunks(adapter: Adapter) -> (Running, Handed, WebSocket) {
    let (route, take) = Route::hand_over(adapter);
    let pairing = Pairing::of(adapter, Transport::Plain);
    let server = pairing.serve(route.configure(|config| config.delivery = Delivery::Chunks)).start();
    let client = pairing.client(&server, "/").connect().unwrap();
    (server, take(), client)
}

fn a_reader_returns_a_message_while_it_arrives(adapter: Adapter) {
    let (_server, mut server, client) = in_chunks(adapter);
    client.send_chunk(Chunk::new("begin ")).unwrap();
    let text = server.ws.read_message(|is_text, reader| {
        assert!(is_text);
        let mut text = [0; 6];
        reader.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"begin ");
        // Only now does the rest of the message exist.
        client.send_chunk(Chunk::last("end")).unwrap();
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        rest
    });
    assert_eq!(text.unwrap().unwrap(), "end");
    client.send(b"").unwrap();
    let read = server.ws.read_message(|is_text, reader| (is_text, reader.read(&mut [0]).unwrap()));
    assert_eq!(read.unwrap(), Some((false, 0)));
}

fn a_reader_that_is_dropped_skips_the_rest_of_its_message(adapter: Adapter) {
    let (_server, mut server, client) = in_chunks(adapter);
    let begin = |client: &WebSocket, server: &mut WebSocket| {
        client.send_chunk(Chunk::new(b"first ")).unwrap();
        server.read_message(|_, reader| assert_eq!(reader.fill_buf().unwrap(), b"first ")).unwrap().unwrap();
        client.send_chunk(Chunk::new(b"second ")).unwrap();
        client.ping(b"between").unwrap();
        client.send_chunk(Chunk::last(b"third")).unwrap();
        client.send("next").unwrap();
    };
    begin(&client, &mut server.ws);
    assert_eq!(server.ws.message(), "next");
    begin(&client, &mut server.ws);
    assert_eq!(server.ws.receive_chunk().unwrap(), Some(Chunk::last("next")));
    begin(&client, &mut server.ws);
    let next = server.ws.read_message(|_, reader| reader.fill_buf().unwrap().to_vec()).unwrap();
    assert_eq!(next.unwrap(), b"next");
    // The whole message was read, so nothing is skipped.
    client.send("last").unwrap();
    assert_eq!(server.ws.message(), "last");
}

fn a_reader_reports_the_end_of_the_connection_within_a_message(adapter: Adapter) {
    let (_server, mut server, client) = in_chunks(adapter);
    client.send_chunk(Chunk::new(b"begin")).unwrap();
    let error = server.ws.read_message(|_, reader| {
        reader.consume(5);
        drop(client);
        reader.read_to_end(&mut Vec::new()).unwrap_err()
    });
    assert_eq!(error.unwrap().unwrap().kind(), ErrorKind::UnexpectedEof);
}

fn a_writer_sends_one_message_of_unknown_length(adapter: Adapter) {
    let (_server, mut server, client) = open(adapter);
    for size in [0, 1, 16_384, 16_385, 500_000] {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let expected = bytes.clone();
        let receiving = thread::spawn(move || {
            assert!(server.ws.message() == expected[..], "{size} bytes");
            server
        });
        let written = client.write_message(|writer| {
            for piece in bytes.chunks(1000) {
                writer.write_all(piece).unwrap();
            }
            writer.flush().unwrap();
            true
        });
        written.unwrap();
        server = receiving.join().unwrap();
    }
    client.send(Message::from("next")).unwrap();
    assert_eq!(server.ws.message(), "next");
}

fn a_writer_that_is_dropped_aborts_its_message(adapter: Adapter) {
    let (_server, mut server, client) = open(adapter);
    // Before any byte was sent, there is no message.
    client.write_message(|writer| writer.write_all(b"short").is_err()).unwrap();
    client.send("next").unwrap();
    assert_eq!(server.ws.message(), "next");
    let written = client.write_message(|writer| {
        writer.write_all(b"begin").unwrap();
        writer.flush().unwrap();
        false
    });
    written.unwrap();
    assert_eq!(server.ws.receive_to_abnormal_close().code, CloseCode::INTERNAL_ERROR);
}

fn the_socket_of_a_connection_is_available(adapter: Adapter) {
    let (server, _handed, client) = open(adapter);
    let peer = match &client {
        WebSocket::Std(ws) => {
            let (sender, receiver) = (ws.sender(), ws.as_fd());
            assert_eq!(socket2::SockRef::from(&receiver).peer_addr().unwrap().as_socket(), ws.peer_addr());
            let peer = socket2::SockRef::from(&sender).peer_addr();
            peer.unwrap()
        }
        WebSocket::Smol(ws) => {
            let socket = ws.try_clone_socket().unwrap().unwrap();
            let peer = socket2::SockRef::from(&socket).peer_addr();
            peer.unwrap()
        }
    };
    assert_eq!(peer.as_socket(), Some(server.address()));
}

#[test]
fn a_stream_in_memory_has_no_socket() {
    bounded(|| {
        let (client, server) = ws_smol::testing::duplex(1000);
        let ws = smol::block_on(futures_lite::future::zip(
            ws_smol::Client::new("ws://test/").connect_over(client),
            ws_smol::accept(server),
        ));
        assert!(ws.0.unwrap().try_clone_socket().unwrap().is_none());
    });
}
