//! Ends of a server's handlers, and the data that handlers receive.

use ws_std::{Client, CloseCode, Error, Route, Server, WebSocket};
use ws_tests::{Raw, Running, bounded, echo, hand_over, wire::Frame};

/// Starts a server with handlers that end in every way, and an echo connection that must not be affected.
fn server() -> (Running, WebSocket) {
    let server = Server::new()
        .route("/echo", echo)
        .route("/returns", |_, _| Ok(()))
        .route("/fails", |_, _| Err("as it was told to".into()))
        .route("/panics", |_, _| panic!("as it was told to"))
        .route("/fails-in-the-middle", |_, mut ws| {
            ws.receive()?;
            ws.feed("a reply that is not lost")?;
            Err("as it was told to".into())
        })
        .route("/says-goodbye", |_, mut ws| Ok(ws.close(CloseCode::new(4000), "goodbye")?));
    let server = Running::start(server);
    let bystander = ws_std::connect(&server.url("/echo")).unwrap();
    (server, bystander)
}

fn still_echoes(ws: &mut WebSocket) {
    ws.send("still there?").unwrap();
    assert_eq!(ws.receive().unwrap().unwrap(), "still there?");
}

fn expect_close(path: &str, code: u16, reason: &str) {
    let (server, mut bystander) = server();
    let mut raw = Raw::open(server.address(), path);
    assert_eq!(raw.frame().code_and_reason(), (code, reason));
    raw.send(Frame::close(code, ""));
    assert_eq!(raw.next_frame(), None);
    still_echoes(&mut bystander);
    still_echoes(&mut ws_std::connect(&server.url("/echo")).unwrap());
}

#[test]
fn a_handler_that_returns_closes_with_1000() {
    bounded(|| expect_close("/returns", 1000, ""));
}

#[test]
fn a_handler_that_fails_closes_its_own_connection_with_1011_and_no_other() {
    bounded(|| expect_close("/fails", 1011, "the handler failed"));
}

#[test]
fn a_handler_that_panics_closes_its_own_connection_with_1011_and_no_other() {
    bounded(|| expect_close("/panics", 1011, "the handler failed"));
}

#[test]
fn a_handler_may_close_with_a_code_of_its_own() {
    bounded(|| expect_close("/says-goodbye", 4000, "goodbye"));
}

#[test]
fn a_hundred_panics_leave_the_server_serving() {
    bounded(|| {
        let (server, mut bystander) = server();
        for _ in 0..100 {
            let mut ws = ws_std::connect(&server.url("/panics")).unwrap();
            assert!(matches!(ws.receive(), Err(Error::Closed(_))));
            assert_eq!(ws.close_info().unwrap().code, CloseCode::INTERNAL_ERROR);
        }
        still_echoes(&mut bystander);
    });
}

#[test]
fn what_was_fed_before_a_handler_failed_arrives_before_the_close() {
    bounded(|| {
        let (server, _) = server();
        let mut ws = ws_std::connect(&server.url("/fails-in-the-middle")).unwrap();
        ws.send("go").unwrap();
        assert_eq!(ws.receive().unwrap().unwrap(), "a reply that is not lost");
        assert!(matches!(ws.receive(), Err(Error::Closed(_))));
        assert_eq!(ws.close_info().unwrap().code, CloseCode::INTERNAL_ERROR);
    });
}

#[test]
fn the_close_of_a_handler_that_returns_early_is_not_lost_to_a_reset() {
    bounded(|| {
        let (server, _) = server();
        for _ in 0..20 {
            let mut raw = Raw::open(server.address(), "/returns");
            for _ in 0..16 {
                raw.send(Frame::new(Frame::BINARY, vec![0; 64 << 10]));
            }
            assert_eq!(raw.frame().code_and_reason(), (1000, ""));
            raw.send(Frame::close(1000, ""));
            assert_eq!(raw.next_frame(), None);
        }
    });
}

#[test]
fn a_handler_receives_the_request_and_the_peers_address() {
    bounded(|| {
        let (route, take) = hand_over();
        let server =
            Running::start(Server::new().mount("/rooms/:room", route.subprotocols(["chat.example"])));
        let url = server.url("/rooms/caf%C3%A9?lang=de&x=1");
        let client = Client::new(&url).header("Cookie", "id=1").subprotocol("chat.example");
        let client = client.connect().unwrap();
        let handed = take();
        let request = &handed.request;
        assert_eq!(request.method(), "GET");
        assert_eq!(request.path(), "/rooms/caf%C3%A9");
        assert_eq!(request.target(), "/rooms/caf%C3%A9?lang=de&x=1");
        assert_eq!(request.query(), Some("lang=de&x=1"));
        assert_eq!(request.parameter("room"), Some("café"));
        assert_eq!(request.header("cookie"), Some("id=1"));
        assert_eq!(request.header("Host"), Some(&*server.address().to_string()));
        assert_eq!(request.peer_addr(), client.local_addr());
        assert_eq!(handed.ws.peer_addr(), client.local_addr());
        assert_eq!(handed.ws.local_addr(), Some(server.address()));
        assert_eq!(client.peer_addr(), Some(server.address()));
        assert_eq!(handed.ws.subprotocol().as_deref(), Some("chat.example"));
    });
}

#[test]
fn a_handler_may_drop_its_websocket_early() {
    bounded(|| {
        let route = Route::new(|_, ws| {
            drop(ws);
            Ok(())
        });
        let server = Running::start(Server::new().mount("/", route));
        let mut ws = ws_std::connect(&server.url("/")).unwrap();
        ws.send("nobody reads this").unwrap();
        assert!(ws.receive().unwrap().is_none());
        assert_eq!(ws.close_info().unwrap().code, CloseCode::NORMAL_CLOSURE);
    });
}
