//! Routing of a server: the routes that open a connection, their conditions, and the other answers.

use std::sync::Arc;

use ws_core::{
    Connection, HandshakeError, OriginPolicy, Response, RouteError, Timestamp,
    server::{Accept, Handshake, Request, Site, Terms},
    testing::drained,
};

use crate::support::{http::Head, written};

/// Returns a request for this path.
fn request(head: &Head) -> Request {
    let mut handshake = Handshake::new(Arc::default(), Timestamp::ZERO);
    handshake.receive(&mut &mut head.bytes()[..]).unwrap().expect("a whole request")
}

fn upgrade(path: &str) -> Head {
    Head::request().first_line(format!("GET {path} HTTP/1.1"))
}

fn plain(method: &str, path: &str) -> Request {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: example.com\r\n\r\n");
    let mut handshake = Handshake::new(Arc::default(), Timestamp::ZERO);
    handshake.receive(&mut &mut head.into_bytes()[..]).unwrap().expect("a whole request")
}

fn settled(mut site: Site<&'static str>) -> Site<&'static str> {
    site.settle().expect("routes that are");
    site
}

/// Returns the handler and the connection of an accepted request.
fn opened(site: &Site<&'static str>, request: &mut Request) -> (&'static str, Connection) {
    let (handler, connection) = site.answer(request, Timestamp::ZERO).expect("an open connection");
    (handler, connection)
}

/// Returns the answer to a request that opens no connection.
fn answered(site: &Site<&'static str>, mut request: Request) -> String {
    let mut response = site.answer(&mut request, Timestamp::ZERO).expect_err("a response");
    String::from_utf8(drained(&mut response)).unwrap()
}

#[test]
fn the_most_specific_route_opens_the_connection_and_fills_in_its_parameters() {
    let mut site = Site::new();
    site.mount("/rooms/:room", Terms::default(), "a room");
    site.mount("/rooms/lobby", Terms::default(), "the lobby");
    site.mount("/*rest", Terms::default(), "the rest");
    let site = settled(site);
    for (path, handler, name, value) in [
        ("/rooms/lobby", "the lobby", "room", None),
        ("/rooms/caf%C3%A9?x=1", "a room", "room", Some("café")),
        ("/elsewhere/at/all", "the rest", "rest", Some("elsewhere/at/all")),
    ] {
        let mut request = request(&upgrade(path));
        let (found, mut connection) = opened(&site, &mut request);
        assert_eq!((found, request.parameter(name)), (handler, value), "{path}");
        assert!(
            written(&mut connection).starts_with(b"HTTP/1.1 101 "),
            "the response waits in the connection"
        );
    }
}

#[test]
fn a_path_that_nothing_is_served_on_is_404_be_it_for_a_websocket_or_a_page() {
    let mut site = Site::new();
    site.mount("/echo", Terms::default(), "echo");
    let site = settled(site);
    assert!(answered(&site, request(&upgrade("/other"))).starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert!(answered(&site, plain("GET", "/other")).starts_with("HTTP/1.1 404 Not Found\r\n"));
}

#[test]
fn an_upgrade_on_a_path_that_only_has_a_page_is_told_so() {
    let mut site = Site::<&str>::new();
    site.page("/", |_| Response::new(200));
    site.page("/users/:name", |_| Response::new(200));
    site.mount("/echo", Terms::default(), "echo");
    let site = settled(site);
    for path in ["/", "/users/ann?x"] {
        let answer = answered(&site, request(&upgrade(path)));
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
        assert!(answer.contains("serves a page and no WebSocket"), "{answer}");
    }
    assert!(answered(&site, request(&upgrade("/users"))).contains("Nothing is served on this path"));
}

#[test]
fn an_ordinary_request_for_a_websocket_is_told_to_upgrade() {
    let mut site = Site::new();
    site.mount("/echo", Terms::default(), "echo");
    let answer = answered(&settled(site), plain("GET", "/echo"));
    assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{answer}");
    assert_eq!(HandshakeError::NotAnUpgrade.response().status(), 426);
}

#[test]
fn a_page_answers_get_and_head_and_nothing_else() {
    let mut site = Site::new();
    site.mount("/:name", Terms::default(), "a socket on the same path");
    site.page("/:name", |request| {
        Response::new(200).text(format!("hello {}", request.parameter("name").unwrap_or_default()))
    });
    let site = settled(site);
    let answer = answered(&site, plain("GET", "/ann"));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello ann"), "{answer}");
    let answer = answered(&site, plain("HEAD", "/ann"));
    assert!(answer.contains("\r\nContent-Length: 9\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    let answer = answered(&site, plain("DELETE", "/ann"));
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("\r\nAllow: GET, HEAD\r\n"), "{answer}");
    assert_eq!(opened(&site, &mut request(&upgrade("/ann"))).0, "a socket on the same path");
}

#[test]
fn a_check_accepts_with_headers_or_answers_by_itself() {
    let mut site = Site::new();
    let check = |request: &Request| match request.header("Authorization") {
        Some(_) => Ok(Accept::new().header("X-Greeting", "welcome")),
        None => Err(Response::new(401).header("WWW-Authenticate", "Bearer")),
    };
    site.mount("/", Terms::default().check(check), "guarded");
    let site = settled(site);
    let answer = answered(&site, request(&upgrade("/")));
    assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n"), "{answer}");
    let (_, mut connection) = opened(&site, &mut request(&upgrade("/").with("Authorization: Bearer 1")));
    assert!(String::from_utf8(written(&mut connection)).unwrap().contains("\r\nX-Greeting: welcome\r\n"));
}

#[test]
fn the_route_prefers_subprotocols_in_its_own_order_and_a_check_overrules_it() {
    let mut site = Site::new();
    site.mount("/", Terms::default().subprotocols(["v2", "v1"]), "negotiated");
    let check = |_: &Request| Ok(Accept::new().subprotocol("v1"));
    site.mount("/fixed", Terms::default().subprotocols(["v2", "v1"]).check(check), "decided");
    let site = settled(site);
    for (path, offered, chosen) in [
        ("/", "v1, v2", Some("v2")),
        ("/", "v1", Some("v1")),
        ("/", "v3", None),
        ("/fixed", "v1, v2", Some("v1")),
    ] {
        let head = upgrade(path).with(format!("Sec-WebSocket-Protocol: {offered}"));
        let (_, connection) = opened(&site, &mut request(&head));
        assert_eq!(connection.subprotocol(), chosen, "{path} {offered}");
    }
}

#[test]
fn a_route_starts_from_the_common_configuration_and_changes_its_own() {
    let mut site = Site::new();
    site.mount("/small", Terms::default().configure(|config| config.max_message_size = 10), "small");
    site.mount("/open", Terms::default().origin(OriginPolicy::Any), "open");
    site.config_mut().max_fragments = 7;
    let site = settled(site);
    let sizes = |path: &str| {
        let (_, connection) = opened(&site, &mut request(&upgrade(path)));
        (connection.config().max_message_size, connection.config().max_fragments)
    };
    assert_eq!((sizes("/small"), sizes("/open")), ((10, 7), (1 << 20, 7)));
    let foreign = |path| request(&upgrade(path).with("Origin: https://elsewhere.example"));
    assert!(answered(&site, foreign("/small")).starts_with("HTTP/1.1 403 Forbidden\r\n"));
    assert_eq!(opened(&site, &mut foreign("/open")).0, "open");
    assert_eq!(site.config().max_fragments, 7);
}

#[test]
fn the_first_route_that_is_malformed_or_there_twice_is_told_before_serving() {
    let mut site = Site::default();
    site.mount("/a", Terms::default(), "first");
    site.mount("/a", Terms::default(), "second");
    site.page("no slash", |_| Response::new(200));
    for _ in 0..2 {
        assert_eq!(site.settle(), Err(RouteError::Duplicate("/a".into())), "however often it is asked");
    }

    let mut site = Site::<&str>::new();
    site.page("no slash", |_| Response::new(200));
    let error = site.settle().unwrap_err();
    assert!(error.to_string().contains("no slash"), "{error}");
}

#[test]
fn a_site_that_was_not_settled_opens_no_connection() {
    // Its routes would have default limits instead of their own.
    let mut site = Site::new();
    site.mount("/", Terms::default().configure(|config| config.max_message_size = 10), "small");
    assert!(answered(&site, request(&upgrade("/"))).starts_with("HTTP/1.1 500 "));
    let mut site = settled(site);
    assert_eq!(opened(&site, &mut request(&upgrade("/"))).1.config().max_message_size, 10);
    site.config_mut().max_fragments = 7;
    assert!(answered(&site, request(&upgrade("/"))).starts_with("HTTP/1.1 500 "), "changed since");
    let site = settled(site);
    let (_, connection) = opened(&site, &mut request(&upgrade("/")));
    assert_eq!((connection.config().max_message_size, connection.config().max_fragments), (10, 7));
}
