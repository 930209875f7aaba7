//! Routing of a server: the routes that open a connection, their conditions, and the other answers.

use std::time::Duration;

use ws_core::{
    Config, Connection, HandshakeConfig, HandshakeError, OriginPolicy, Response, RouteError, Timestamp,
    Transmit,
    server::{Accept, Handshake, Request, RouteOptions, Router, RouterBuilder},
    testing::drained,
};

use crate::support::{http::Head, written};

/// Returns a request for this path.
fn request(head: &Head) -> Request {
    let mut handshake = Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
    handshake.receive(&mut &mut head.bytes()[..]).unwrap().expect("a whole request")
}

fn upgrade(path: &str) -> Head {
    Head::request().first_line(format!("GET {path} HTTP/1.1"))
}

fn plain(method: &str, path: &str) -> Request {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: example.com\r\n\r\n");
    let mut handshake = Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
    handshake.receive(&mut &mut head.into_bytes()[..]).unwrap().expect("a whole request")
}

/// The handler and the connection of a request that is accepted like this.
fn accepted(
    router: &Router<&'static str>,
    request: &mut Request,
    accept: Accept,
) -> Result<(&'static str, Connection), String> {
    let found = router.handle(request).map_err(|refusal| text(refusal.response))?;
    let connection = found.accept(request, accept, Timestamp::ZERO).map_err(text)?;
    Ok((found.handler(), connection))
}

fn text(mut response: Transmit) -> String {
    String::from_utf8(drained(&mut response)).unwrap()
}

/// Returns the handler and the connection of an accepted request.
fn opened(router: &Router<&'static str>, request: &mut Request) -> (&'static str, Connection) {
    accepted(router, request, Accept::new()).expect("an open connection")
}

/// Returns the answer to a request that opens no connection.
fn answered(router: &Router<&'static str>, mut request: Request) -> String {
    text(router.handle(&mut request).expect_err("a response").response)
}

#[test]
fn the_most_specific_route_wins_and_fills_in_its_parameters() {
    let mut router = RouterBuilder::new();
    router.route("/rooms/:room", RouteOptions::default(), "a room");
    router.route("/rooms/lobby", RouteOptions::default(), "the lobby");
    router.route("/*rest", RouteOptions::default(), "the rest");
    let router = router.build().unwrap();
    for (path, handler, name, value) in [
        ("/rooms/lobby", "the lobby", "room", None),
        ("/rooms/caf%C3%A9?x=1", "a room", "room", Some("café")),
        ("/elsewhere/at/all", "the rest", "rest", Some("elsewhere/at/all")),
    ] {
        let mut request = request(&upgrade(path));
        let (found, mut connection) = opened(&router, &mut request);
        assert_eq!((found, request.parameter(name)), (handler, value), "{path}");
        assert!(
            written(&mut connection).starts_with(b"HTTP/1.1 101 "),
            "the response waits in the connection"
        );
    }
}

#[test]
fn an_unknown_path_is_404_for_a_websocket_and_for_a_page() {
    let mut router = RouterBuilder::new();
    router.route("/echo", RouteOptions::default(), "echo");
    let router = router.build().unwrap();
    assert!(answered(&router, request(&upgrade("/other"))).starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert!(answered(&router, plain("GET", "/other")).starts_with("HTTP/1.1 404 Not Found\r\n"));
}

#[test]
fn an_upgrade_on_a_path_that_only_has_a_page_is_told_so() {
    let mut router = RouterBuilder::<&str>::new();
    router.page("/", |_| Response::new(200));
    router.page("/users/:name", |_| Response::new(200));
    router.route("/echo", RouteOptions::default(), "echo");
    let router = router.build().unwrap();
    for path in ["/", "/users/ann?x"] {
        let answer = answered(&router, request(&upgrade(path)));
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
        assert!(answer.contains("serves a page and no WebSocket"), "{answer}");
    }
    assert!(answered(&router, request(&upgrade("/users"))).contains("Nothing is served on this path"));
}

#[test]
fn an_ordinary_request_for_a_websocket_is_told_to_upgrade() {
    let mut router = RouterBuilder::new();
    router.route("/echo", RouteOptions::default(), "echo");
    let answer = answered(&router.build().unwrap(), plain("GET", "/echo"));
    assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{answer}");
    assert_eq!(HandshakeError::NotAnUpgrade.response().status(), 426);
}

#[test]
fn a_page_answers_get_and_head_and_nothing_else() {
    let mut router = RouterBuilder::new();
    router.route("/:name", RouteOptions::default(), "a socket on the same path");
    router.page("/:name", |request| {
        Response::new(200).text(format!("hello {}", request.parameter("name").unwrap_or_default()))
    });
    let router = router.build().unwrap();
    let answer = answered(&router, plain("GET", "/ann"));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello ann"), "{answer}");
    let answer = answered(&router, plain("HEAD", "/ann"));
    assert!(answer.contains("\r\nContent-Length: 9\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = answered(&router, plain("DELETE", "/ann"));
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
    assert_eq!(opened(&router, &mut request(&upgrade("/ann"))).0, "a socket on the same path");
}

#[test]
fn the_application_accepts_or_refuses_a_match_with_its_headers() {
    #[derive(Debug, PartialEq)]
    struct User(&'static str);
    #[derive(Debug, PartialEq)]
    struct Role(u8);

    let mut router = RouterBuilder::new();
    router.route("/", RouteOptions::default(), "guarded");
    let router = router.build().unwrap();
    let mut asked = request(&upgrade("/"));
    let before = asked.clone();
    let accept =
        Accept::new().header("X-Greeting", "welcome").with(User("Eve")).with(Role(1)).with(User("Ada"));
    let (_, mut connection) = accepted(&router, &mut asked, accept).unwrap();
    assert!(String::from_utf8(written(&mut connection)).unwrap().contains("\r\nX-Greeting: welcome\r\n"));
    assert_eq!((asked.get(), asked.get()), (Some(&User("Ada")), Some(&Role(1))), "one of each type");
    assert_eq!((asked.get::<u8>(), before.get::<User>()), (None, None));
    assert!(asked == asked.clone() && asked != before, "requests with other values differ");

    // Nothing is left behind if the connection is not opened.
    let mut asked = request(&upgrade("/"));
    let accept = Accept::new().subprotocol("never offered").with(User("Ada"));
    let response = accepted(&router, &mut asked, accept).unwrap_err();
    assert!(response.starts_with("HTTP/1.1 500 "), "{response}");
    assert_eq!(asked.get::<User>(), None);
}

#[test]
fn the_routes_order_of_subprotocols_counts_unless_a_check_overrules_it() {
    let mut router = RouterBuilder::new();
    router.route("/", RouteOptions::default().subprotocols(["v2", "v1"]), "negotiated");
    let router = router.build().unwrap();
    for (accept, offered, chosen) in [
        (Accept::new(), "v1, v2", Some("v2")),
        (Accept::new(), "v1", Some("v1")),
        (Accept::new(), "v3", None),
        (Accept::new().subprotocol("v1"), "v1, v2", Some("v1")),
    ] {
        let head = upgrade("/").with(format!("Sec-WebSocket-Protocol: {offered}"));
        let (_, connection) = accepted(&router, &mut request(&head), accept.clone()).unwrap();
        assert_eq!(connection.subprotocol(), chosen, "{accept:?} {offered}");
    }
}

#[test]
fn a_refusal_has_the_configuration_of_the_route_that_matched() {
    let mut router = RouterBuilder::new();
    router.page("/", |_| Response::new(200));
    let close = |seconds: u64| move |config: &mut Config| config.close_timeout = Duration::from_secs(seconds);
    router.route("/patient", RouteOptions::default().configure(close(60)), "patient");
    close(7)(router.config_mut());
    let router = router.build().unwrap();
    let foreign = |path: &str| request(&upgrade(path).with("Origin: https://elsewhere.example"));
    for (mut asked, seconds) in [(foreign("/patient"), 60), (foreign("/"), 7), (plain("GET", "/"), 7)] {
        let refusal = router.handle(&mut asked).unwrap_err();
        assert_eq!(refusal.config.close_timeout, Duration::from_secs(seconds), "{asked:?}");
    }
    let found = router.handle(&mut request(&upgrade("/patient"))).unwrap();
    assert_eq!(found.config().close_timeout, Duration::from_secs(60), "for a refusal by the application");
}

#[test]
fn a_route_starts_from_the_common_configuration_and_changes_its_own() {
    let mut router = RouterBuilder::new();
    router.route("/small", RouteOptions::default().configure(|config| config.max_message_size = 10), "small");
    router.route("/open", RouteOptions::default().origin(OriginPolicy::Any), "open");
    router.config_mut().max_fragments = 7;
    router.origin(OriginPolicy::OneOf(vec!["https://app.example".into()]));
    let router = router.build().unwrap();
    let sizes = |path: &str| {
        let (_, connection) = opened(&router, &mut request(&upgrade(path)));
        (connection.config().max_message_size, connection.config().max_fragments)
    };
    assert_eq!((sizes("/small"), sizes("/open")), ((10, 7), (1 << 20, 7)));
    let foreign = |path| request(&upgrade(path).with("Origin: https://elsewhere.example"));
    assert!(answered(&router, foreign("/small")).starts_with("HTTP/1.1 403 Forbidden\r\n"));
    assert_eq!(opened(&router, &mut foreign("/open")).0, "open");
    let app = upgrade("/small").with("Origin: https://app.example");
    assert_eq!(opened(&router, &mut request(&app)).0, "small");
    assert_eq!(router.config().max_fragments, 7);
}

#[test]
fn the_first_malformed_or_duplicate_route_is_reported_before_serving() {
    let mut router = RouterBuilder::default();
    router.route("/a", RouteOptions::default(), "first");
    router.route("/a", RouteOptions::default(), "second");
    router.page("no slash", |_| Response::new(200));
    // A builder that has failed is gone, so that no second attempt can succeed.
    assert_eq!(router.build().unwrap_err(), RouteError::Duplicate("/a".into()));

    let mut router = RouterBuilder::<&str>::new();
    router.page("no slash", |_| Response::new(200));
    let error = router.build().unwrap_err();
    assert!(error.to_string().contains("no slash"), "{error}");
}
