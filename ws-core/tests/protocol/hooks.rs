//! The check before all routes, the headers of all responses, and error pages.

use ws_core::{
    HandshakeConfig, OriginPolicy, Response, RouteError, Timestamp, Transmit,
    server::{Accept, Handshake, Request, RouteOptions, Router, RouterBuilder},
    testing::drained,
};

use crate::support::{http::Head, written};

struct User(&'static str);

fn request(head: &Head) -> Request {
    let mut handshake = Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
    handshake.receive(&mut &mut head.bytes()[..]).unwrap().expect("a whole request")
}

fn upgrade(path: &str) -> Request {
    request(&Head::request().first_line(format!("GET {path} HTTP/1.1")))
}

fn plain(path: &str) -> Request {
    request(&Head::new([format!("GET {path} HTTP/1.1"), "Host: example.com".into()]))
}

fn text(mut response: Transmit) -> String {
    String::from_utf8(drained(&mut response)).unwrap()
}

fn router(change: impl FnOnce(&mut RouterBuilder<()>)) -> Router<()> {
    let mut router = RouterBuilder::new();
    router.route("/ws", RouteOptions::default().subprotocols(["chat"]), ());
    router.page("/page", |request| {
        let user = request.get().map_or("nobody", |User(name)| name);
        Response::new(200).text(format!("a page for {user}"))
    });
    change(&mut router);
    router.build().unwrap()
}

/// The response to any request, after the check of the route has returned `accept`.
fn answer(router: &Router<()>, mut request: Request, accept: Accept) -> String {
    match router.handle(&mut request) {
        Err(refusal) => text(refusal.response),
        Ok(found) => match found.accept(&mut request, accept, Timestamp::ZERO) {
            Err(response) => text(response),
            Ok(mut connection) => String::from_utf8(written(&mut connection)).unwrap(),
        },
    }
}

fn status(response: &str) -> u16 {
    response[9..12].parse().unwrap()
}

fn values<'r>(response: &'r str, name: &str) -> Vec<&'r str> {
    let fields = response.lines().filter_map(|line| line.split_once(": "));
    fields.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
}

#[test]
fn the_check_runs_before_every_route_page_and_error() {
    let router = router(|router| {
        router.check(|request| match request.header("Authorization") {
            Some(_) => Ok(Accept::new()),
            None => Err(Response::new(401).header("WWW-Authenticate", "Bearer")),
        });
    });
    for request in [upgrade("/ws"), plain("/ws"), plain("/page"), upgrade("/none"), plain("/none")] {
        let response = answer(&router, request, Accept::new());
        assert_eq!((status(&response), values(&response, "WWW-Authenticate")), (401, vec!["Bearer"]));
    }
    let allowed = Head::request().first_line("GET /ws HTTP/1.1").with("Authorization: Bearer x");
    assert_eq!(status(&answer(&router, request(&allowed), Accept::new())), 101);
}

#[test]
fn the_check_sees_the_route_and_its_values_reach_pages_and_handlers() {
    let router = router(|router| {
        router.check(|request| {
            Ok(Accept::new().with(User(if request.route() == Some("/page") { "P" } else { "W" })))
        });
    });
    assert!(answer(&router, plain("/page"), Accept::new()).ends_with("a page for P"));
    for (accept, expected, number) in [
        (Accept::new(), "W", None),
        (Accept::new().with(7_u8), "W", Some(7)),
        (Accept::new().with(User("of the route")), "of the route", None),
    ] {
        let mut request = upgrade("/ws");
        let found = router.handle(&mut request).unwrap();
        assert_eq!(request.get().map(|User(name)| *name), Some("W"), "the route's check has it already");
        found.accept(&mut request, accept, Timestamp::ZERO).unwrap();
        assert_eq!(request.get().map(|User(name)| *name), Some(expected));
        assert_eq!(request.get::<u8>().copied(), number);
    }
}

#[test]
fn headers_of_the_check_are_in_every_response_of_the_request() {
    let router = router(|router| router.check(|_| Ok(Accept::new().header("Set-Cookie", "a=1"))));
    for (request, code) in
        [(upgrade("/ws"), 101), (plain("/page"), 200), (plain("/ws"), 426), (plain("/x"), 404)]
    {
        let response = answer(&router, request, Accept::new().header("Set-Cookie", "b=2"));
        assert_eq!(status(&response), code);
        let expected = if code == 101 { vec!["b=2", "a=1"] } else { vec!["a=1"] };
        assert_eq!(values(&response, "Set-Cookie"), expected, "{response}");
    }
}

#[test]
fn a_subprotocol_of_the_check_is_used_if_the_route_s_check_selects_none() {
    let offered = || {
        request(&Head::request().first_line("GET /ws HTTP/1.1").with("Sec-WebSocket-Protocol: chat, a, b"))
    };
    let hooked = router(|router| router.check(|_| Ok(Accept::new().subprotocol("a"))));
    for (router, accept, expected) in [
        (&hooked, Accept::new(), "a"),
        (&hooked, Accept::new().subprotocol("b"), "b"),
        (&router(|_| {}), Accept::new(), "chat"),
    ] {
        let response = answer(router, offered(), accept);
        assert_eq!(values(&response, "Sec-WebSocket-Protocol"), [expected]);
    }
}

#[test]
fn a_header_that_cannot_be_sent_makes_a_500_of_any_response() {
    let router = router(|router| router.check(|_| Ok(Accept::new().header("X", "split\r\nhere"))));
    for request in [upgrade("/ws"), plain("/page"), upgrade("/none")] {
        assert_eq!(status(&answer(&router, request, Accept::new())), 500);
    }
}

#[test]
fn default_headers_are_in_every_response_unless_it_has_its_own() {
    let router = router(|router| {
        router.default_header("Server", "mine");
        router.default_header("Link", "<a>");
        router.default_header("Link", "<b>");
        router.page("/own", |_| Response::new(200).header("server", "the page's"));
    });
    for (request, code) in [
        (upgrade("/ws"), 101),
        (plain("/page"), 200),
        (plain("/ws"), 426),
        (upgrade("/none"), 404),
        (request(&Head::request().first_line("GET /ws HTTP/1.1").set("Sec-WebSocket-Version", "12")), 426),
    ] {
        let response = answer(&router, request, Accept::new());
        assert_eq!((status(&response), values(&response, "Server")), (code, vec!["mine"]), "{response}");
        assert_eq!(values(&response, "Link"), ["<a>", "<b>"]);
    }
    assert_eq!(values(&answer(&router, plain("/own"), Accept::new()), "Server"), ["the page's"]);
    let own = answer(&router, upgrade("/ws"), Accept::new().header("SERVER", "the check's"));
    assert_eq!(values(&own, "Server"), ["the check's"]);
    let without_request = text(router.refuse(None, Response::new(503)));
    assert_eq!((status(&without_request), values(&without_request, "Server")), (503, vec!["mine"]));
}

#[test]
fn a_default_header_that_cannot_be_sent_is_an_error_of_the_router() {
    for (name, value) in [
        ("a b", "x"),
        ("", "x"),
        ("X", "split\nhere"),
        ("Connection", "close"),
        ("content-length", "1"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Accept", "x"),
    ] {
        let mut router = RouterBuilder::<()>::new();
        router.default_header(name, value);
        assert_eq!(router.build().unwrap_err(), RouteError::InvalidHeader(name.into()));
    }
}

#[test]
fn the_error_page_changes_every_refusal_and_no_page() {
    let router = router(|router| {
        router.origin(OriginPolicy::OneOf(vec!["https://ours.example".into()]));
        router.page("/gone", |_| Response::new(404).text("the page's own"));
        router.error_page(|request, response| {
            let path = request.map_or("unknown", |request| request.path()).to_owned();
            let status = response.status();
            response.html(format!("<h1>{status} for {path}</h1>")).header("X-Custom", "1")
        });
    });
    let foreign = Head::request().first_line("GET /ws HTTP/1.1").with("Origin: https://evil.example");
    for (request, code, path) in [
        (upgrade("/none"), 404, "/none"),
        (plain("/none"), 404, "/none"),
        (plain("/ws"), 426, "/ws"),
        (upgrade("/page"), 404, "/page"),
        (request(&foreign), 403, "/ws"),
        (request(&Head::new(["POST /page HTTP/1.1", "Host: example.com"])), 405, "/page"),
    ] {
        let response = answer(&router, request, Accept::new());
        assert_eq!(status(&response), code);
        assert_eq!(values(&response, "Content-Type"), ["text/html; charset=utf-8"]);
        assert_eq!(values(&response, "X-Custom"), ["1"]);
        assert!(response.ends_with(&format!("<h1>{code} for {path}</h1>")), "{response}");
        let required = match code {
            405 => "Allow",
            426 => "Upgrade",
            _ => "Content-Length",
        };
        assert_eq!(values(&response, required).len(), 1, "{response}");
    }
    assert!(answer(&router, plain("/gone"), Accept::new()).ends_with("the page's own"));
    assert!(text(router.refuse(None, Response::new(503))).ends_with("<h1>503 for unknown</h1>"));
    let refused = answer(&router, upgrade("/ws"), Accept::new().subprotocol("not offered"));
    assert!(refused.ends_with("<h1>500 for /ws</h1>"));
}

#[test]
fn the_answer_to_head_has_no_body_also_with_an_error_page() {
    let router = router(|router| router.error_page(|_, response| response.text("custom")));
    let head = request(&Head::new(["HEAD /none HTTP/1.1", "Host: example.com"]));
    let response = answer(&router, head, Accept::new());
    assert_eq!(values(&response, "Content-Length"), ["6"]);
    assert!(response.ends_with("\r\n\r\n"));
}
