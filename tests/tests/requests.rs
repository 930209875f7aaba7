//! The request in checks, handlers, pages and sessions: query, cookies, route, addresses, scheme and certificates.

use std::{net::SocketAddr, sync::mpsc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ws_std::{Accept, Callbacks, Request, Response, Scheme};
use ws_tests::{
    PATIENCE, Raw, Reply,
    certificates::{Authority, Identity},
    either::{Adapter, Client, Route, Server},
    tls::RawTls,
    wire, with_both_adapters,
};

with_both_adapters! {
    handlers_checks_and_sessions_find_the_same_details
    a_page_finds_its_route_and_query
    a_malformed_query_is_answered_with_400_by_a_question_mark
    a_request_over_a_unix_domain_socket_has_no_addresses
    the_certificate_chain_of_a_client_reaches_checks_handlers_and_sessions
    a_client_without_a_certificate_has_an_empty_chain
}

/// The details of a request, as text.
fn details(request: &Request) -> String {
    let query: Vec<_> = request.query_parameters().map(|parameter| parameter.unwrap()).collect();
    let cookies: Vec<_> = request.cookies().collect();
    format!(
        "{query:?} {cookies:?} {:?} {:?} {:?} {:?}",
        request.route(),
        request.peer_addr(),
        request.local_addr(),
        request.scheme(),
    )
}

fn expected(server: SocketAddr, client: &Raw) -> String {
    let (peer, local) = (client.socket().local_addr().unwrap(), server);
    let query = r#"[("token", "a b"), ("tag", "1"), ("tag", "é")]"#;
    let cookies = r#"[("session", "abc"), ("theme", "dark")]"#;
    format!("{query} {cookies} Some(\"/rooms/:room\") Some({peer}) Some({local}) Http")
}

fn open(server: SocketAddr) -> Raw {
    let mut raw = Raw::connect(server);
    let target = "/rooms/blue?token=a+b&tag=1&tag=%C3%A9";
    raw.write(wire::request(target, &["Cookie: session=abc; theme=dark"]));
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    raw
}

fn handlers_checks_and_sessions_find_the_same_details(adapter: Adapter) {
    let (tell, told) = mpsc::channel();
    let tell_connect = tell.clone();
    let (handler, take) = Route::hand_over(adapter);
    let handler = handler.check(move |request| {
        tell.send(details(request)).unwrap();
        Ok(Accept::new())
    });
    let server = Server::new(adapter).mount("/rooms/:room", handler).start();
    let raw = open(server.address());
    let expect = expected(server.address(), &raw);
    assert_eq!(details(&take().request), expect);
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), expect);

    let callbacks = Callbacks::new().on_connect(move |session| {
        tell_connect.send(details(session.request().unwrap())).unwrap();
    });
    let server = Server::new(adapter).mount("/rooms/:room", Route::callbacks(adapter, callbacks)).start();
    let raw = open(server.address());
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), expected(server.address(), &raw));
}

fn a_page_finds_its_route_and_query(adapter: Adapter) {
    let server = Server::new(adapter)
        .page("/users/:name", |request| {
            let page = request.query_parameter("page").unwrap().unwrap_or_default();
            Response::new(200).text(format!("{:?} {page}", request.route()))
        })
        .start();
    let mut raw = Raw::connect(server.address());
    raw.write("GET /users/ada?page=2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(raw.reply().body, "Some(\"/users/:name\") 2");
}

fn a_malformed_query_is_answered_with_400_by_a_question_mark(adapter: Adapter) {
    let route = Route::echo(adapter).check(|request| match request.query_parameter("token")? {
        Some(token) if token == "secret" => Ok(Accept::new()),
        _ => Err(Response::new(401)),
    });
    let server = Server::new(adapter).mount("/", route).start();
    let status = |target: &str| {
        let mut raw = Raw::connect(server.address());
        raw.write(wire::request(target, &[]));
        let Reply { status, .. } = raw.reply();
        status
    };
    assert_eq!([status("/?token=%zz"), status("/?token=%FF"), status("/?token=x")], [400, 400, 401]);
    Raw::open(server.address(), "/?token=%73ecret");
}

fn a_request_over_a_unix_domain_socket_has_no_addresses(adapter: Adapter) {
    let folder = ws_tests::Folder::new();
    let path = folder.file("socket");
    let (route, take) = Route::hand_over(adapter);
    let _server = Server::new(adapter).mount("/", route).bind_unix(&path).unwrap();
    let _client = Client::new(adapter, "ws://localhost/").connect_unix(&path).unwrap();
    let request = take().request;
    assert_eq!((request.peer_addr(), request.local_addr()), (None, None));
    assert_eq!(request.scheme(), Scheme::Http);
}

fn der(identity: &Identity) -> Vec<u8> {
    let lines = identity.chain.lines().filter(|line| !line.starts_with("-----"));
    STANDARD.decode(lines.collect::<String>()).unwrap()
}

fn the_certificate_chain_of_a_client_reaches_checks_handlers_and_sessions(adapter: Adapter) {
    let (tell, told) = mpsc::channel();
    let (tell_check, tell_session) = (tell.clone(), tell);
    let callbacks = Callbacks::new().on_connect(move |session| {
        tell_session.send(session.request().unwrap().client_certificates().to_vec()).unwrap();
    });
    let (route, take) = Route::hand_over(adapter);
    let authority = Authority::shared();
    let server = Server::new(adapter)
        .mount("/handler", route)
        .mount("/session", Route::callbacks(adapter, callbacks))
        .check(move |request| {
            tell_check.send(request.client_certificates().to_vec()).unwrap();
            Ok(Accept::new())
        })
        .tls(authority.server().serving().require_clients_from(authority.pem().as_bytes()))
        .start();
    let identity = authority.client();
    let connect = |path| {
        let url = format!("wss://{}{path}", server.address());
        Client::new(adapter, &url).tls(identity.shown_by(authority.trusted())).connect().unwrap()
    };
    let chain = vec![der(&identity)];
    let _handled = connect("/handler");
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), chain);
    let request = take().request;
    assert_eq!(request.client_certificates(), chain);
    assert_eq!(request.scheme(), Scheme::Https);
    let _called_back = connect("/session");
    for _ in ["the check", "the session"] {
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), chain);
    }
}

fn a_client_without_a_certificate_has_an_empty_chain(adapter: Adapter) {
    let authority = Authority::shared();
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter)
        .mount("/", route)
        .tls(authority.server().serving().allow_clients_from(authority.pem().as_bytes()))
        .start();
    let _client = RawTls::open(server.address());
    let request = take().request;
    assert!(request.client_certificates().is_empty());
    assert_eq!(request.scheme(), Scheme::Https);
}
