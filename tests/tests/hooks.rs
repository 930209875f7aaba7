//! The hooks of a server for all of its routes: a check, headers of all responses, and error pages.

use std::sync::mpsc;

use ws_std::{Accept, Callbacks, Error, Response, ws_core::RouteError};
use ws_tests::{
    PATIENCE, Raw, Reply,
    either::{Adapter, Route, Server},
    wire, with_both_adapters,
};

with_both_adapters! {
    the_check_of_the_server_guards_routes_pages_and_unknown_paths
    what_the_check_of_the_server_attaches_reaches_checks_handlers_and_sessions
    a_panic_of_the_check_is_500_and_the_server_goes_on
    default_headers_are_in_every_response
    a_default_header_that_cannot_be_sent_is_an_error_of_bind
    the_error_page_is_in_place_of_every_refusal
    a_panic_of_the_error_page_is_500_and_the_server_goes_on
}

struct User(String);

fn ask(server: &ws_tests::either::Running, request: impl AsRef<[u8]>) -> Reply {
    let mut raw = Raw::connect(server.address());
    raw.write(request);
    raw.reply()
}

fn plain(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A server with a route, a page and a route that refuses.
fn server(adapter: Adapter) -> Server {
    let refusing = Route::echo(adapter).check(|_| Err(Response::new(403).text("the route's own")));
    Server::new(adapter)
        .mount("/echo", Route::echo(adapter))
        .mount("/refusing", refusing)
        .page("/page", |_| Response::new(200).text("a page"))
}

fn the_check_of_the_server_guards_routes_pages_and_unknown_paths(adapter: Adapter) {
    let server = server(adapter)
        .check(|request| match request.cookie("user") {
            _ if request.route() == Some("/page") => Ok(Accept::new()),
            Some(user) => Ok(Accept::new().with(User(user.to_owned()))),
            None => Err(Response::new(401).header("WWW-Authenticate", "Bearer").text("Who is there?")),
        })
        .start();
    for request in [wire::request("/echo", &[]), wire::request("/none", &[]), plain("/none"), plain("/echo")]
    {
        let reply = ask(&server, request);
        assert_eq!((reply.status, &*reply.body), (401, "Who is there?"), "{}", reply.head);
        assert_eq!(wire::header(&reply.head, "WWW-Authenticate"), Some("Bearer"));
    }
    assert_eq!(ask(&server, plain("/page")).body, "a page");
    assert_eq!(ask(&server, wire::request("/none", &["Cookie: user=ada"])).status, 404);
    let mut raw = Raw::connect(server.address());
    raw.write(wire::request("/echo", &["Cookie: user=ada"]));
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    raw.expect_echoes_at_once();
}

fn what_the_check_of_the_server_attaches_reaches_checks_handlers_and_sessions(adapter: Adapter) {
    let (tell, told) = mpsc::channel();
    let (tell_check, tell_session) = (tell.clone(), tell);
    let callbacks = Callbacks::new().on_connect(move |session| {
        tell_session.send(session.get().map(|User(name)| name.clone())).unwrap();
    });
    let (handler, take) = Route::hand_over(adapter);
    let handler = handler.check(move |request| {
        tell_check.send(request.get().map(|User(name)| name.clone())).unwrap();
        Ok(Accept::new().with(7_u8))
    });
    let server = Server::new(adapter)
        .mount("/handler", handler)
        .mount("/session", Route::callbacks(adapter, callbacks))
        .check(|_| Ok(Accept::new().with(User("Ada".into())).header("Set-Cookie", "seen=1")))
        .start();
    let open = |path| {
        let mut raw = Raw::connect(server.address());
        raw.write(wire::request(path, &[]));
        let head = raw.head();
        assert_eq!(wire::header(&head, "Set-Cookie"), Some("seen=1"), "{head}");
        raw
    };
    let _handled = open("/handler");
    assert_eq!(told.recv_timeout(PATIENCE).unwrap().as_deref(), Some("Ada"));
    let request = take().request;
    assert_eq!(request.get().map(|User(name)| &**name), Some("Ada"));
    assert_eq!(request.get(), Some(&7_u8));
    let _called_back = open("/session");
    assert_eq!(told.recv_timeout(PATIENCE).unwrap().as_deref(), Some("Ada"));
}

fn a_panic_of_the_check_is_500_and_the_server_goes_on(adapter: Adapter) {
    let server = server(adapter).check(|request| match request.query() {
        Some(_) => panic!("on purpose"),
        None => Ok(Accept::new()),
    });
    let monitor = server.monitor();
    let server = server.start();
    for request in [wire::request("/echo?", &[]), plain("/page?"), plain("/none?")] {
        assert_eq!(ask(&server, request).status, 500);
    }
    assert_eq!(monitor.stats().panics, 3);
    Raw::open(server.address(), "/echo").expect_echoes_at_once();
}

fn default_headers_are_in_every_response(adapter: Adapter) {
    let running = server(adapter)
        .default_header("Server", "ours")
        .default_header("Strict-Transport-Security", "max-age=1")
        .start();
    let mut raw = Raw::connect(running.address());
    raw.write(wire::request("/echo", &[]));
    let head = raw.head();
    assert!(head.starts_with("HTTP/1.1 101 "));
    assert_eq!(wire::header(&head, "Server"), Some("ours"));
    raw.expect_echoes_at_once();
    for (request, status) in [
        (plain("/page"), 200),
        (plain("/echo"), 426),
        (plain("/none"), 404),
        (wire::request("/refusing", &[]), 403),
        (wire::request("/none", &[]), 404),
        ("nonsense\r\n\r\n".to_owned(), 400),
    ] {
        let reply = ask(&running, request);
        assert_eq!(reply.status, status, "{}", reply.head);
        assert_eq!(wire::header(&reply.head, "Server"), Some("ours"), "{}", reply.head);
        assert_eq!(wire::header(&reply.head, "Strict-Transport-Security"), Some("max-age=1"));
    }
    let mut late = Raw::connect(running.address());
    running.handle().begin_stop(PATIENCE);
    late.write(wire::request("/echo", &[]));
    let reply = late.reply();
    assert_eq!((reply.status, wire::header(&reply.head, "Server")), (503, Some("ours")));

    let full = server(adapter).default_header("Server", "ours").max_connections(0).start();
    let reply = Raw::connect(full.address()).reply();
    assert_eq!((reply.status, wire::header(&reply.head, "Server")), (503, Some("ours")));
}

fn a_default_header_that_cannot_be_sent_is_an_error_of_bind(adapter: Adapter) {
    for (name, value) in [("X", "split\r\nhere"), ("Connection", "close"), ("a b", "x")] {
        match server(adapter).default_header(name, value).bind("127.0.0.1:0") {
            Err(Error::Route(RouteError::InvalidHeader(found))) => assert_eq!(found, name),
            other => panic!("{other:?}"),
        }
    }
}

fn the_error_page_is_in_place_of_every_refusal(adapter: Adapter) {
    let custom = |server: Server| {
        server.error_page(|request, response| {
            let path = request.map_or("?", |request| request.path()).to_owned();
            let status = response.status();
            response.html(format!("<h1>{status} {path}</h1>"))
        })
    };
    let running = custom(server(adapter)).start();
    for (request, body) in [
        (plain("/page"), "a page"),
        (plain("/echo"), "<h1>426 /echo</h1>"),
        (plain("/none"), "<h1>404 /none</h1>"),
        (wire::request("/none", &[]), "<h1>404 /none</h1>"),
        (wire::request("/refusing", &[]), "<h1>403 /refusing</h1>"),
        ("nonsense\r\n\r\n".to_owned(), "<h1>400 ?</h1>"),
    ] {
        let reply = ask(&running, request);
        assert_eq!(reply.body, body, "{}", reply.head);
        let kind = if body == "a page" { "text/plain; charset=utf-8" } else { "text/html; charset=utf-8" };
        assert_eq!(wire::header(&reply.head, "Content-Type"), Some(kind));
    }
    let mut late = Raw::connect(running.address());
    running.handle().begin_stop(PATIENCE);
    late.write(wire::request("/echo", &[]));
    let reply = late.reply();
    assert_eq!((&*reply.body, wire::header(&reply.head, "Retry-After")), ("<h1>503 /echo</h1>", Some("1")));

    let full = custom(server(adapter)).max_connections(0).start();
    assert_eq!(Raw::connect(full.address()).reply().body, "<h1>503 ?</h1>");
}

fn a_panic_of_the_error_page_is_500_and_the_server_goes_on(adapter: Adapter) {
    let broken = |server: Server| server.error_page(|_, _| panic!("on purpose"));
    let running = broken(server(adapter)).start();
    for request in [
        plain("/none"),
        wire::request("/none", &[]),
        wire::request("/refusing", &[]),
        "nonsense\r\n\r\n".to_owned(),
    ] {
        assert_eq!(ask(&running, request).status, 500);
    }
    Raw::open(running.address(), "/echo").expect_echoes_at_once();
    let full = broken(server(adapter)).max_connections(0).start();
    for _ in 0..3 {
        assert_eq!(Raw::connect(full.address()).reply().status, 500);
    }
}
