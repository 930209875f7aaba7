//! Interoperability over TLS: other implementations as clients and as servers of both adapters.

use std::thread;

use ws_std::{CloseCode, Error, Message, ws_core::Side};
use ws_tests::{
    Folder, Language, Peer, Terms,
    certificates::Authority,
    either::{Adapter, Client, Handed, Route, Running, Server, WebSocket},
};

macro_rules! with_every_peer {
    ($($test:ident)*) => {
        with_every_peer!(std_and_python_as_client, Std, Python, Role::Server, $($test)*);
        with_every_peer!(std_and_python_as_server, Std, Python, Role::Client, $($test)*);
        with_every_peer!(std_and_node_as_client, Std, Node, Role::Server, $($test)*);
        with_every_peer!(std_and_node_as_server, Std, Node, Role::Client, $($test)*);
        with_every_peer!(smol_and_python_as_client, Smol, Python, Role::Server, $($test)*);
        with_every_peer!(smol_and_python_as_server, Smol, Python, Role::Client, $($test)*);
        with_every_peer!(smol_and_node_as_client, Smol, Node, Role::Server, $($test)*);
        with_every_peer!(smol_and_node_as_server, Smol, Node, Role::Client, $($test)*);
    };
    ($peer:ident, $adapter:ident, $language:ident, $role:expr, $($test:ident)*) => {
        mod $peer {
            use super::*;
            $(
                #[test]
                fn $test() {
                    ws_tests::bounded(|| super::$test(Pair::open(Adapter::$adapter, Language::$language, $role)));
                }
            )*
        }
    };
}

with_every_peer! {
    messages_of_all_sizes_arrive_unchanged_both_ways
    a_ping_of_the_peer_is_answered
    a_close_of_ours_is_seen_with_code_and_reason
    a_close_of_the_peer_is_seen_with_code_and_reason
}

/// Our role. The peer has the other role.
#[derive(Clone, Copy)]
enum Role {
    Client,
    Server,
}

/// Our end, and its waiting handler.
enum End {
    Client(WebSocket),
    Server(Box<Handed>),
}

/// Both ends of an open connection, in drop order.
struct Pair {
    end: End,
    peer: Peer,
    _server: Option<Running>,
    _folder: Folder,
}

impl Pair {
    fn open(adapter: Adapter, language: Language, role: Role) -> Self {
        let (folder, authority) = (Folder::new(), Authority::shared());
        match role {
            Role::Client => {
                let identity = authority.server();
                let files = (folder.write("chain", identity.chain), folder.write("key", identity.key));
                let mut peer =
                    Peer::server(language, &Terms { certificate: Some(files), ..Terms::default() });
                let ws = Client::new(adapter, &peer.url("/")).tls(authority.trusted()).connect().unwrap();
                peer.wait_open();
                Self { end: End::Client(ws), peer, _server: None, _folder: folder }
            }
            Role::Server => {
                let (route, take) = Route::hand_over(adapter);
                let server = Server::new(adapter).mount("/", route).tls(authority.server().serving()).start();
                let url = format!("wss://localhost:{}/", server.address().port());
                let ca = Some(folder.write("ca", authority.pem()));
                let mut peer = Peer::client(language, &url, &Terms { ca, ..Terms::default() });
                peer.wait_open();
                Self { end: End::Server(Box::new(take())), peer, _server: Some(server), _folder: folder }
            }
        }
    }

    /// Splits the connection into our end and the peer, for use in different threads.
    fn both(&mut self) -> (&mut WebSocket, &mut Peer) {
        let ws = match &mut self.end {
            End::Client(ws) => ws,
            End::Server(handed) => &mut handed.ws,
        };
        (ws, &mut self.peer)
    }
}

fn messages_of_all_sizes_arrive_unchanged_both_ways(mut pair: Pair) {
    let (ws, peer) = pair.both();
    for size in [0, 1, 126, 16_384, 65_536, 1 << 20] {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let text: String = (0..size).map(|at| char::from(b' ' + (at % 95) as u8)).collect();
        for message in [Message::from(bytes), text.into()] {
            ws.send(&message).unwrap();
            assert!(peer.receive() == message, "{size} to the peer");
            peer.send(&message);
            assert!(ws.message() == message, "{size} from the peer");
        }
    }
}

fn a_ping_of_the_peer_is_answered(mut pair: Pair) {
    let (ws, peer) = pair.both();
    thread::scope(|scope| {
        let receiving = scope.spawn(|| ws.message());
        peer.ping(b"from the peer");
        peer.send("enough");
        assert_eq!(receiving.join().unwrap(), "enough");
    });
}

fn a_close_of_ours_is_seen_with_code_and_reason(mut pair: Pair) {
    let (ws, peer) = pair.both();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| peer.wait_closed());
        ws.close(CloseCode::new(4000), "enough").unwrap();
        assert_eq!(waiting.join().unwrap(), (4000, "enough".into()));
    });
    assert!(ws.close_info().was_clean);
}

fn a_close_of_the_peer_is_seen_with_code_and_reason(mut pair: Pair) {
    let (ws, peer) = pair.both();
    thread::scope(|scope| {
        let closing = scope.spawn(|| peer.close(4001, "that is it"));
        // An application has chosen this code, so the end is an error.
        assert!(matches!(ws.receive_to_end(), Err(Error::Closed(_))));
        let close_info = ws.close_info();
        assert_eq!((close_info.code, &*close_info.reason), (CloseCode::new(4001), "that is it"));
        assert_eq!((close_info.was_clean, close_info.initiator), (true, Side::Remote));
        closing.join().unwrap();
    });
}
