//! Interoperability over real sockets: other implementations as clients and as servers.

use std::{thread, time::Duration};

use ws_std::{
    Accept, Chunk, Client, CloseCode, Error, Event, HandshakeError, Keepalive, Message, ProtocolError,
    Response, Route, Server, WebSocket,
    ws_core::{Cause, Side},
};
use ws_tests::{HandlerWaits, Language, Peer, Running, Terms, eventually, hand_over};

macro_rules! with_every_peer {
    ($($test:ident)*) => {
        with_every_peer!(python_as_client, Language::Python, Role::Server, $($test)*);
        with_every_peer!(python_as_server, Language::Python, Role::Client, $($test)*);
        with_every_peer!(node_as_client, Language::Node, Role::Server, $($test)*);
        with_every_peer!(node_as_server, Language::Node, Role::Client, $($test)*);
    };
    ($peer:ident, $language:expr, $role:expr, $($test:ident)*) => {
        mod $peer {
            use super::*;
            $(
                #[test]
                fn $test() {
                    ws_tests::bounded(|| super::$test($language, $role));
                }
            )*
        }
    };
}

with_every_peer! {
    messages_of_all_sizes_arrive_unchanged_both_ways
    text_in_many_scripts_arrives_unchanged_both_ways
    the_fragments_of_a_peer_arrive_as_one_message
    our_chunks_arrive_as_one_message
    a_ping_of_the_peer_is_answered
    a_ping_of_ours_comes_back_as_a_pong
    keepalive_measures_the_latency
    a_close_of_ours_is_seen_with_code_and_reason
    a_close_of_the_peer_is_seen_with_code_and_reason
    a_peer_that_vanishes_is_an_error
    a_message_that_is_too_big_for_us_is_answered_with_1009
    a_message_that_is_too_big_for_the_peer_ends_with_its_1009
    subprotocol_and_headers_reach_both_ends
    a_refusal_is_seen_with_status_and_body
}

/// Our role. The peer has the other role.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// Our settings for the opening handshake.
#[derive(Clone, Copy)]
struct Ours {
    subprotocols: &'static [&'static str],
    max_message_size: usize,
    keepalive: Option<Keepalive>,
}

const OURS: Ours = Ours { subprotocols: &[], max_message_size: 16 << 20, keepalive: None };

/// Both ends of an open connection, in drop order.
struct Pair {
    ws: WebSocket,
    /// The peer's header as our client received it, or as the request to our server contains it.
    peers_header: Option<String>,
    peer: Peer,
    _handler: Option<HandlerWaits>,
    _server: Option<Running>,
}

const PEERS_HEADER: &str = "X-Peer: that one";

impl Pair {
    fn open(language: Language, role: Role, ours: Ours, theirs: Terms) -> Self {
        let terms = Terms { header: Some(PEERS_HEADER), ..theirs };
        match role {
            Role::Client => {
                let mut peer = Peer::server(language, &terms);
                let mut client = Client::new(&peer.url("/")).header("X-Ours", "this one");
                for name in ours.subprotocols {
                    client = client.subprotocol(name);
                }
                client = client.configure(|config| {
                    config.max_message_size = ours.max_message_size;
                    config.keepalive = ours.keepalive;
                });
                let (ws, response) = client.connect_with_response().unwrap();
                peer.wait_open();
                let peers_header = response.header_value("X-Peer").map(str::to_owned);
                Self { ws, peers_header, peer, _handler: None, _server: None }
            }
            Role::Server => {
                let (route, take) = hand_over();
                let route = route
                    .subprotocols(ours.subprotocols.iter().copied())
                    .check(|_| Ok(Accept::new().header("X-Ours", "this one")))
                    .configure(move |config| {
                        config.max_message_size = ours.max_message_size;
                        config.keepalive = ours.keepalive;
                    });
                let server = Running::start(Server::new().mount("/", route));
                let mut peer = Peer::client(language, &server.url("/"), &terms);
                peer.wait_open();
                let handed = take();
                let peers_header = handed.request.header("X-Peer").map(str::to_owned);
                let handler = Some(handed.handler);
                Self { ws: handed.ws, peers_header, peer, _handler: handler, _server: Some(server) }
            }
        }
    }

    fn plain(language: Language, role: Role) -> Self {
        Self::open(language, role, OURS, Terms::default())
    }

    /// Sends a message to the peer and receives it back.
    fn exchange(&mut self, message: &Message<'_>) {
        self.ws.send(message).unwrap();
        assert_eq!(self.peer.receive(), *message, "to the peer");
        self.peer.send(message);
        assert_eq!(self.ws.receive().unwrap().unwrap(), *message, "from the peer");
    }

    /// Receives in a thread, which answers pings while the test waits for the peer.
    fn receive_to_end(ws: &mut WebSocket) -> Result<(), Error> {
        while ws.receive()?.is_some() {}
        Ok(())
    }
}

fn messages_of_all_sizes_arrive_unchanged_both_ways(language: Language, role: Role) {
    let mut pair = Pair::plain(language, role);
    for size in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        pair.exchange(&bytes.into());
        let text: String = (0..size).map(|at| char::from(b' ' + (at % 95) as u8)).collect();
        pair.exchange(&text.into());
    }
}

fn text_in_many_scripts_arrives_unchanged_both_ways(language: Language, role: Role) {
    let mut pair = Pair::plain(language, role);
    let text =
        "Grüße, Ελληνικά, Кириллица, עברית, العربية, हिन्दी, 日本語, 한국어, 👩‍👩‍👧 \u{0}\u{FFFF}\u{10FFFF}";
    for repeat in [1, 10, 1000] {
        pair.exchange(&text.repeat(repeat).into());
    }
}

fn the_fragments_of_a_peer_arrive_as_one_message(language: Language, role: Role) {
    let mut pair = Pair::plain(language, role);
    pair.peer.send_fragments(&["Grü".into(), "".into(), "ße".into(), " 日本語".into()]);
    assert_eq!(pair.ws.receive().unwrap().unwrap(), "Grüße 日本語");
    let fragment = vec![7; 70_000];
    pair.peer.send_fragments(&[(&fragment).into(), (&fragment).into(), b"".into()]);
    assert_eq!(pair.ws.receive().unwrap().unwrap(), *vec![7; 140_000]);
}

fn our_chunks_arrive_as_one_message(language: Language, role: Role) {
    let mut pair = Pair::plain(language, role);
    for chunk in [Chunk::new("Grü"), Chunk::new(""), Chunk::last("ße")] {
        pair.ws.send_chunk(chunk).unwrap();
    }
    assert_eq!(pair.peer.receive(), "Grüße");
    for chunk in [Chunk::new(&[1, 2]), Chunk::new(vec![3; 70_000]), Chunk::last(b"")] {
        pair.ws.send_chunk(chunk).unwrap();
    }
    let whole = [&[1, 2][..], &[3; 70_000]].concat();
    match language {
        Language::Node => assert_eq!(pair.peer.receive(), whole[..]),
        Language::Python => assert_eq!(pair.peer.receive_fragments(), [&whole[..2], &whole[2..], b""]),
    }
}

fn a_ping_of_the_peer_is_answered(language: Language, role: Role) {
    let mut pair = Pair::plain(language, role);
    let (_, mut receiver) = pair.ws.split();
    let pings = thread::spawn(move || {
        let pings = [receiver.receive_event().unwrap().unwrap(), receiver.receive_event().unwrap().unwrap()];
        // The pong for the second ping is sent when no more input is available.
        assert!(matches!(receiver.receive(), Err(Error::Disconnected(_))));
        pings
    });
    pair.peer.ping(b"");
    pair.peer.ping(&[9; 125]);
    pair.peer.vanish();
    let expected = [Event::Ping(b"".into()), Event::Ping((&[9; 125]).into())];
    assert_eq!(pings.join().unwrap(), expected);
}

fn a_ping_of_ours_comes_back_as_a_pong(language: Language, role: Role) {
    let mut pair = Pair::plain(language, role);
    for payload in [&b""[..], b"Are you there?", &[0; 125]] {
        pair.ws.ping(payload).unwrap();
        assert_eq!(pair.ws.receive_event().unwrap(), Some(Event::Pong(payload.into())));
    }
}

fn keepalive_measures_the_latency(language: Language, role: Role) {
    let interval = Duration::from_millis(50);
    let keepalive = Some(Keepalive { interval, timeout: Duration::from_secs(20), max_missed: Some(1) });
    let mut pair = Pair::open(language, role, Ours { keepalive, ..OURS }, Terms::default());
    let sender = pair.ws.sender();
    let (_, mut receiver) = pair.ws.split();
    let receiving = thread::spawn(move || receiver.receive());
    eventually("a ping was answered", || sender.latency().is_some());
    pair.peer.send("still there");
    assert_eq!(receiving.join().unwrap().unwrap().unwrap(), "still there");
    assert!(sender.latency().unwrap() < Duration::from_secs(20));
}

fn a_close_of_ours_is_seen_with_code_and_reason(language: Language, role: Role) {
    let mut pair = Pair::plain(language, role);
    pair.ws.close(CloseCode::new(4321), "goodbye, 世界").unwrap();
    assert_eq!(pair.peer.wait_closed(), (4321, "goodbye, 世界".to_owned()));
    let close_info = pair.ws.close_info().unwrap();
    assert!(close_info.was_clean, "{close_info}");
    assert_eq!(
        (close_info.code.get(), close_info.initiator, close_info.cause),
        (4321, Side::Local, Cause::Close)
    );
    assert!(matches!(pair.ws.receive(), Ok(None)));
    assert!(matches!(pair.ws.send("too late"), Err(Error::Closed(_))));
}

fn a_close_of_the_peer_is_seen_with_code_and_reason(language: Language, role: Role) {
    let mut pair = Pair::plain(language, role);
    let mut ws = pair.ws;
    let receiving = thread::spawn(move || {
        let ended = Pair::receive_to_end(&mut ws);
        assert!(matches!(ended, Err(Error::Closed(_))), "{ended:?}");
        ws.close_info().unwrap()
    });
    let (code, _) = pair.peer.close(3999, "adieu, 世界");
    assert_eq!(code, 3999, "what we answered");
    let close_info = receiving.join().unwrap();
    assert!(close_info.was_clean, "{close_info}");
    assert_eq!((close_info.code.get(), &*close_info.reason), (3999, "adieu, 世界"));
    assert_eq!((close_info.initiator, close_info.cause), (Side::Remote, Cause::Close));
}

fn a_peer_that_vanishes_is_an_error(language: Language, role: Role) {
    let mut pair = Pair::plain(language, role);
    pair.peer.vanish();
    match pair.ws.receive() {
        Err(Error::Disconnected(close_info)) => {
            assert_eq!((close_info.code, close_info.was_clean), (CloseCode::ABNORMAL_CLOSURE, false));
        }
        other => panic!("{other:?}"),
    }
}

fn a_message_that_is_too_big_for_us_is_answered_with_1009(language: Language, role: Role) {
    let mut pair = Pair::open(language, role, Ours { max_message_size: 1000, ..OURS }, Terms::default());
    pair.peer.send(&[1; 1000]);
    assert_eq!(pair.ws.receive().unwrap().unwrap().len(), 1000);
    pair.peer.send(vec![1; 100_000]);
    let error = pair.ws.receive().unwrap_err();
    let expected = ProtocolError::MessageTooLarge { size: 100_000, limit: 1000 };
    assert!(matches!(error, Error::Protocol(found) if found == expected), "{error}");
    let (code, reason) = pair.peer.wait_closed();
    assert_eq!((code, &*reason), (1009, "message too large"));
}

fn a_message_that_is_too_big_for_the_peer_ends_with_its_1009(language: Language, role: Role) {
    let terms = Terms { max_size: Some(1000), ..Terms::default() };
    let mut pair = Pair::open(language, role, OURS, terms);
    pair.ws.send(&[1; 1001]).unwrap();
    assert!(matches!(Pair::receive_to_end(&mut pair.ws), Err(Error::Closed(_))));
    assert_eq!(pair.ws.close_info().unwrap().code, CloseCode::MESSAGE_TOO_BIG);
}

fn subprotocol_and_headers_reach_both_ends(language: Language, role: Role) {
    let ours = Ours { subprotocols: &["first.example", "second.example"], ..OURS };
    let theirs = Terms { subprotocols: vec!["second.example", "third.example"], ..Terms::default() };
    let pair = Pair::open(language, role, ours, theirs);
    assert_eq!(pair.ws.subprotocol().as_deref(), Some("second.example"));
    assert_eq!(pair.peer.subprotocol(), Some("second.example"));
    assert_eq!(pair.peers_header.as_deref(), Some("that one"));
    assert_eq!(pair.peer.header("X-Ours"), Some("this one"));
}

fn a_refusal_is_seen_with_status_and_body(language: Language, role: Role) {
    match role {
        Role::Client => {
            let terms = Terms { refuse: Some((403, "members only")), ..Terms::default() };
            let peer = Peer::server(language, &terms);
            match Client::new(&peer.url("/")).connect().unwrap_err() {
                Error::Handshake(HandshakeError::Refused(response)) => {
                    assert_eq!((response.status(), response.body_bytes()), (403, &b"members only"[..]));
                }
                other => panic!("{other:?}"),
            }
        }
        Role::Server => {
            let refuse = |_: &_| {
                let response = Response::new(401).header("WWW-Authenticate", "Bearer");
                Err(response.text("who are you?"))
            };
            let route = Route::new(|_, _| unreachable!("it was refused")).check(refuse);
            let server = Running::start(Server::new().mount("/", route));
            let mut peer = Peer::client(language, &server.url("/"), &Terms::default());
            assert_eq!(peer.wait_refused(), (401, "who are you?".to_owned()));
            assert_eq!(peer.header("WWW-Authenticate"), Some("Bearer"));
        }
    }
}
