//! Messages that are larger than the largest frame to be sent, in both adapters and at foreign peers.

use ws_std::{Callbacks, Chunk, CloseCode, Config, Deflate, Message, PreparedMessage, Sessions};
use ws_tests::{
    Language, PATIENCE, Peer, Raw, Terms,
    deflating::{EchoPeer, Parameters},
    either::{Adapter, Client, Route, Server, WebSocket},
    eventually,
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    each_way_to_send_splits_a_large_message
    each_way_of_a_client_splits_a_large_message
    a_broadcast_is_split_for_each_route_by_its_limit
    split_messages_pass_between_both_ends_with_compression
}

const LIMIT: usize = 1000;

fn split(config: &mut Config) {
    config.max_sent_frame_size = LIMIT;
}

/// Reads the frames of one message, and returns their sizes.
fn sizes(raw: &mut Raw) -> Vec<usize> {
    let mut sizes = Vec::new();
    loop {
        let frame = raw.frame();
        let opcode = if sizes.is_empty() { Frame::BINARY } else { Frame::CONTINUATION };
        assert_eq!(frame.opcode, opcode);
        assert!(frame.payload.iter().all(|byte| *byte == 7));
        sizes.push(frame.payload.len());
        if frame.fin {
            return sizes;
        }
    }
}

/// Sends the same message in each way.
fn send_in_each_way(ws: &WebSocket, raw: &mut Raw) {
    let message = || Message::from(vec![7; 2500]);
    ws.send(message()).unwrap();
    assert_eq!(sizes(raw), [1000, 1000, 500]);
    ws.feed(message()).unwrap();
    ws.feed(message().as_borrowed()).unwrap();
    ws.flush().unwrap();
    assert_eq!([sizes(raw), sizes(raw)], [[1000, 1000, 500], [1000, 1000, 500]]);
    ws.send_prepared(&PreparedMessage::new(message())).unwrap();
    assert_eq!(sizes(raw), [1000, 1000, 500]);
    ws.send_chunk(Chunk::new(vec![7; 1200])).unwrap();
    ws.send_chunk(Chunk::last(vec![7; 1000])).unwrap();
    assert_eq!(sizes(raw), [1000, 200, 1000]);
    ws.send(vec![7; LIMIT]).unwrap();
    assert_eq!(sizes(raw), [1000]);
    // A message that does not fit into the socket at once.
    ws.feed(vec![7; 10 * LIMIT]).unwrap();
    ws.flush().unwrap();
    assert_eq!(sizes(raw), [1000; 10]);
}

fn each_way_to_send_splits_a_large_message(adapter: Adapter) {
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route).configure(split).start();
    let mut raw = Raw::open(server.address(), "/");
    send_in_each_way(&take().ws, &mut raw);
}

fn each_way_of_a_client_splits_a_large_message(adapter: Adapter) {
    let (ws, mut raw) = Client::connected_to_raw(adapter, |client| client.configure(split));
    send_in_each_way(&ws, &mut raw);
}

fn a_broadcast_is_split_for_each_route_by_its_limit(adapter: Adapter) {
    let sessions = Sessions::new();
    let mut server = Server::new(adapter);
    for (path, limit) in [("/0", usize::MAX), ("/1", 1000), ("/2", 2000)] {
        let route = Route::callbacks(adapter, Callbacks::new().sessions(&sessions));
        server = server.mount(path, route.configure(move |config| config.max_sent_frame_size = limit));
    }
    let server = server.start();
    let mut raws = ["/0", "/1", "/2"].map(|path| Raw::open(server.address(), path));
    eventually("all are there", || sessions.len() == 3);
    sessions.broadcast(vec![7; 2500]);
    let received = raws.each_mut().map(sizes);
    assert_eq!(received, [vec![2500], vec![1000, 1000, 500], vec![2000, 500]]);
}

fn split_messages_pass_between_both_ends_with_compression(adapter: Adapter) {
    let both = |config: &mut Config| {
        (config.max_sent_frame_size, config.max_fragments) = (100, usize::MAX);
        config.deflate = Some(Deflate::default());
    };
    let server = Server::new(adapter).mount("/", Route::echo(adapter)).configure(both).start();
    let url = format!("ws://{}/", server.address());
    let mut ws = Client::new(adapter, &url).configure(both).connect().unwrap();
    for size in [0, 100, 101, 5000, 1 << 20] {
        let text: String = (0..size).map(|at: u64| char::from(b' ' + (at * at % 95) as u8)).collect();
        ws.send(text.as_str()).unwrap();
        assert_eq!(ws.message(), *text);
    }
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
}

macro_rules! with_every_peer {
    ($($test:ident)*) => {
        with_every_peer!(python_and_std, Python, Std, $($test)*);
        with_every_peer!(python_and_smol, Python, Smol, $($test)*);
        with_every_peer!(node_and_std, Node, Std, $($test)*);
        with_every_peer!(node_and_smol, Node, Smol, $($test)*);
    };
    ($name:ident, $language:ident, $adapter:ident, $($test:ident)*) => {
        mod $name {
            use super::*;
            $(
                #[test]
                fn $test() {
                    ws_tests::bounded(|| super::$test(Language::$language, Adapter::$adapter));
                }
            )*
        }
    };
}

with_every_peer! {
    a_foreign_server_reassembles_what_a_client_has_split
    a_foreign_client_reassembles_what_a_server_has_split
    a_foreign_peer_reassembles_and_inflates_what_was_split
}

/// Text with characters that are cut, and binary messages.
fn exchange(ws: &WebSocket, peer: &mut Peer, language: Language) {
    for size in [0, 999, 1000, 1001, 70_000] {
        let message = Message::from(vec![7; size]);
        ws.send(message.as_borrowed()).unwrap();
        assert_eq!(peer.receive(), message);
        let text = Message::from("日本語".repeat(size / 9));
        ws.send(text.as_borrowed()).unwrap();
        assert_eq!(peer.receive(), text);
    }
    ws.send(vec![7; 2500]).unwrap();
    match language {
        Language::Python => {
            assert_eq!(peer.receive_fragments(), [vec![7; 1000], vec![7; 1000], vec![7; 500]]);
        }
        Language::Node => assert_eq!(peer.receive(), *vec![7; 2500]),
    }
}

fn a_foreign_server_reassembles_what_a_client_has_split(language: Language, adapter: Adapter) {
    let mut peer = Peer::server(language, &Terms::default());
    let ws = Client::new(adapter, &peer.url("/")).configure(split).connect().unwrap();
    peer.wait_open();
    exchange(&ws, &mut peer, language);
}

fn a_foreign_client_reassembles_what_a_server_has_split(language: Language, adapter: Adapter) {
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route).configure(split).start();
    let mut peer = Peer::client(language, &format!("ws://{}/", server.address()), &Terms::default());
    peer.wait_open();
    exchange(&take().ws, &mut peer, language);
}

fn a_foreign_peer_reassembles_and_inflates_what_was_split(language: Language, adapter: Adapter) {
    let mut peer = EchoPeer::server(language);
    let mut ws = Client::new(adapter, &peer.url(&Parameters::default()))
        .configure(|config| {
            config.max_sent_frame_size = 10;
            config.deflate = Some(Deflate::default());
        })
        .read_timeout(PATIENCE)
        .connect()
        .unwrap();
    assert!(peer.wait_open().is_some(), "compression is negotiated");
    for size in [100, 5000, 70_000] {
        let text: String = (0..size).map(|at| char::from(b' ' + (at % 95) as u8)).collect();
        ws.send(text.as_str()).unwrap();
        assert_eq!(ws.message(), *text);
    }
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
}
