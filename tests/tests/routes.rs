//! Routing of requests.

use ws_std::{Accept, Client, Error, HandshakeError, OriginPolicy, Response, Route, Server};
use ws_tests::{Raw, Reply, Running, bounded, echo, wire};

/// Returns a route that sends its name and the parameters of its pattern.
fn named(name: &'static str, parameter: &'static str) -> Route {
    Route::new(move |request, ws| {
        let filled = request.parameter(parameter).unwrap_or("nothing");
        Ok(ws.send(format!("{name}: {filled}"))?)
    })
}

fn site() -> Running {
    Running::start(
        Server::new()
            .mount("/", named("root", ""))
            .mount("/exact", named("exact", ""))
            .mount("/rooms/:room", named("room", "room"))
            .mount("/rooms/lobby", named("lobby", ""))
            .mount("/files/*path", named("files", "path"))
            .mount("/:first/:second", named("two", "second"))
            .page("/", |_| Response::new(200).html("<h1>Hello</h1>"))
            .page("/health", |_| Response::new(200).text("fine\n"))
            .page("/users/:user", |request| {
                Response::new(200).text(request.parameter("user").unwrap_or_default())
            }),
    )
}

fn request(server: &Running, request: &str) -> Reply {
    let mut raw = Raw::connect(server.address());
    raw.write(request);
    raw.reply()
}

fn get(server: &Running, path: &str) -> Reply {
    request(server, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

fn refusal(client: Client) -> Response {
    match client.connect().map(drop) {
        Err(Error::Handshake(HandshakeError::Refused(response))) => *response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_most_specific_route_serves_with_its_parameters_decoded() {
    bounded(|| {
        let server = site();
        for (path, expected) in [
            ("/", "root: nothing"),
            ("", "root: nothing"),
            ("/?a=b", "root: nothing"),
            ("/exact", "exact: nothing"),
            ("/exact?a=b", "exact: nothing"),
            ("/ex%61ct", "exact: nothing"),
            ("/rooms/42", "room: 42"),
            ("/rooms/caf%C3%A9%20%2F", "room: café /"),
            ("/rooms/lobby", "lobby: nothing"),
            ("/files/a/b%20c/d", "files: a/b c/d"),
            ("/other/thing", "two: thing"),
        ] {
            let mut ws = ws_std::connect(&server.url(path)).unwrap();
            assert_eq!(ws.receive().unwrap().unwrap(), expected, "{path}");
        }
    });
}

#[test]
fn a_path_without_a_route_is_404() {
    bounded(|| {
        let server = site();
        for path in ["/nowhere", "/exact/x/y", "/rooms", "/%FF"] {
            assert_eq!(refusal(Client::new(&server.url(path))).status(), 404, "{path}");
            let reply = get(&server, path);
            assert_eq!(reply.status, 404, "{path}");
            assert!(!reply.body.is_empty());
        }
    });
}

#[test]
fn an_ordinary_request_for_a_route_is_told_to_upgrade() {
    bounded(|| {
        let server = site();
        let reply = get(&server, "/exact");
        assert_eq!(reply.status, 426, "{}", reply.head);
        assert_eq!(wire::header(&reply.head, "Upgrade"), Some("websocket"));
        assert_eq!(wire::header(&reply.head, "Sec-WebSocket-Version"), Some("13"));
        assert_eq!(wire::header(&reply.head, "Connection"), Some("close, Upgrade"));
        assert!(reply.body.contains("ws://"), "{}", reply.body);
    });
}

#[test]
fn another_version_is_told_the_right_one() {
    bounded(|| {
        let server = site();
        let reply = request(&server, &wire::request("/", &[]).replace("Version: 13", "Version: 8"));
        assert_eq!(reply.status, 426);
        assert_eq!(wire::header(&reply.head, "Sec-WebSocket-Version"), Some("13"));
    });
}

#[test]
fn a_page_may_lie_on_the_path_of_a_websocket() {
    bounded(|| {
        let server = site();
        let reply = get(&server, "/");
        assert_eq!((reply.status, &*reply.body), (200, "<h1>Hello</h1>"));
        assert_eq!(wire::header(&reply.head, "Content-Type"), Some("text/html; charset=utf-8"));
        assert_eq!(wire::header(&reply.head, "Content-Length"), Some("14"));
        let mut ws = ws_std::connect(&server.url("/")).unwrap();
        assert_eq!(ws.receive().unwrap().unwrap(), "root: nothing");
    });
}

#[test]
fn a_page_knows_its_parameters() {
    bounded(|| {
        let server = site();
        assert_eq!(get(&server, "/users/J%C3%BCrgen?x").body, "Jürgen");
        assert_eq!(get(&server, "http://x/health").body, "fine\n");
    });
}

#[test]
fn head_gets_the_headers_of_the_page_alone() {
    bounded(|| {
        let server = site();
        let reply = request(&server, "HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!((reply.status, &*reply.body), (200, ""));
        assert_eq!(wire::header(&reply.head, "Content-Length"), Some("5"));
    });
}

#[test]
fn other_methods_are_405() {
    bounded(|| {
        let server = site();
        let reply = request(&server, "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(reply.status, 405);
        assert_eq!(wire::header(&reply.head, "Allow"), Some("GET, HEAD"));
        let reply = request(&server, &wire::request("/exact", &[]).replace("GET", "POST"));
        assert_eq!(reply.status, 405);
        assert_eq!(wire::header(&reply.head, "Allow"), Some("GET"));
    });
}

#[test]
fn a_request_behind_a_refused_one_is_not_answered() {
    bounded(|| {
        let server = site();
        let reply =
            request(&server, &format!("{}{}", wire::request("/nowhere", &[]), wire::request("/", &[])));
        assert_eq!(reply.status, 404);
        assert_eq!(wire::header(&reply.head, "Connection"), Some("close"));
        assert_eq!(Some(&*reply.body.len().to_string()), wire::header(&reply.head, "Content-Length"));
    });
}

/// Returns a route that requires a token, identifies the user by it, and supports two subprotocols.
fn guarded() -> Running {
    let route = Route::new(|_, ws| Ok(ws.send(ws.subprotocol().unwrap_or_default())?))
        .subprotocols(["v2.example", "v1.example"])
        .check(|request| match request.header("Authorization") {
            Some("Bearer 1234") => Ok(Accept::new().header("Set-Cookie", "id=7").header("X-User", "Ada")),
            Some("Bearer old") => Ok(Accept::new().subprotocol("v1.example")),
            Some("Bearer wrong") => Ok(Accept::new().subprotocol("never.offered")),
            Some(_) => Err(Response::new(403).text("not you")),
            None => Err(Response::new(401).header("WWW-Authenticate", "Bearer").text("who are you?")),
        });
    Running::start(Server::new().mount("/", route))
}

#[test]
fn a_check_refuses_with_a_response_of_its_own() {
    bounded(|| {
        let server = guarded();
        let response = refusal(Client::new(&server.url("/")));
        assert_eq!((response.status(), response.body_bytes()), (401, &b"who are you?"[..]));
        assert_eq!(response.header_value("WWW-Authenticate"), Some("Bearer"));
        let response = refusal(Client::new(&server.url("/")).header("Authorization", "Bearer x"));
        assert_eq!((response.status(), response.body_bytes()), (403, &b"not you"[..]));
    });
}

#[test]
fn a_check_accepts_with_headers_of_its_own() {
    bounded(|| {
        let server = guarded();
        let client = Client::new(&server.url("/")).header("Authorization", "Bearer 1234");
        let (ws, response) = client.connect_with_response().unwrap();
        assert_eq!(response.status(), 101);
        assert_eq!(response.header_value("Set-Cookie"), Some("id=7"));
        assert_eq!(response.header_value("X-User"), Some("Ada"));
        assert_eq!(ws.subprotocol(), None);
    });
}

#[test]
fn the_server_prefers_among_the_subprotocols_that_are_offered() {
    bounded(|| {
        let server = guarded();
        let client = Client::new(&server.url("/")).header("Authorization", "Bearer 1234");
        for (offered, chosen) in [
            (&["v1.example", "v2.example"][..], Some("v2.example")),
            (&["v1.example"], Some("v1.example")),
            (&["v3.example", "v1.example"], Some("v1.example")),
            (&["v3.example"], None),
        ] {
            let client = offered.iter().fold(client.clone(), |client, name| client.subprotocol(name));
            let mut ws = client.connect().unwrap();
            assert_eq!(ws.subprotocol().as_deref(), chosen, "{offered:?}");
            assert_eq!(ws.receive().unwrap().unwrap(), chosen.unwrap_or_default(), "as the server sees it");
        }
    });
}

#[test]
fn a_check_may_choose_the_subprotocol_from_those_that_are_offered() {
    bounded(|| {
        let server = guarded();
        let client = Client::new(&server.url("/")).subprotocol("v2.example").subprotocol("v1.example");
        let ws = client.clone().header("Authorization", "Bearer old").connect().unwrap();
        assert_eq!(ws.subprotocol().as_deref(), Some("v1.example"));
        assert_eq!(refusal(client.header("Authorization", "Bearer wrong")).status(), 500);
    });
}

#[test]
fn pages_of_other_hosts_are_refused_with_403() {
    bounded(|| {
        let policy = OriginPolicy::OneOf(vec!["https://app.example".into()]);
        let server = Running::start(
            Server::new()
                .route("/same", echo)
                .mount("/listed", Route::new(echo).origin(policy))
                .mount("/any", Route::new(echo).origin(OriginPolicy::Any)),
        );
        let own = format!("http://{}", server.address());
        for (path, origin, allowed) in [
            ("/same", &*own, true),
            ("/same", "http://127.0.0.1", false),
            ("/same", "https://app.example", false),
            ("/same", "null", false),
            ("/listed", &own, false),
            ("/listed", "https://app.example", true),
            ("/any", "https://evil.example", true),
            ("/any", "null", true),
        ] {
            let client = Client::new(&server.url(path)).header("Origin", origin);
            if allowed {
                client.connect().unwrap_or_else(|error| panic!("{origin} on {path}: {error}"));
            } else {
                assert_eq!(refusal(client).status(), 403, "{origin} on {path}");
            }
            ws_std::connect(&server.url(path)).unwrap_or_else(|error| panic!("no origin on {path}: {error}"));
        }
    });
}

#[test]
fn the_limits_of_a_route_are_its_own() {
    bounded(|| {
        let server = Running::start(
            Server::new()
                .configure(|config| config.max_message_size = 10)
                .route("/small", echo)
                .mount("/large", Route::new(echo).configure(|config| config.max_message_size = 20)),
        );
        for (path, fits) in [("/small", 10), ("/large", 20)] {
            let mut ws = ws_std::connect(&server.url(path)).unwrap();
            ws.send(vec![1; fits]).unwrap();
            assert_eq!(ws.receive().unwrap().unwrap().len(), fits);
            ws.send(vec![1; fits + 1]).unwrap();
            assert!(matches!(ws.receive(), Err(Error::Closed(_))));
            assert_eq!(ws.close_info().unwrap().code.get(), 1009, "{path}");
        }
    });
}

#[test]
fn a_route_that_is_malformed_or_there_twice_cannot_be_bound() {
    let bind = |server: Server| server.bind("127.0.0.1:0").map(drop).unwrap_err();
    let error = bind(Server::new().route("no-slash", echo).route("/", echo));
    assert!(matches!(error, Error::Route(_)), "{error}");
    assert!(error.to_string().contains("no-slash"), "{error}");
    let error = bind(Server::new().route("/:a", echo).route("/:b", echo));
    assert!(error.to_string().contains("/:b"), "{error}");
}

#[test]
fn an_address_that_is_in_use_is_named_in_the_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = Server::new().bind(address).map(drop).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen on {address}: ")), "{error}");
}
