//! Opening handshakes between the adapters, in all combinations, with and without TLS.

use ws_std::{Accept, CloseCode, Error, HandshakeError, OriginPolicy, Response};
use ws_tests::{
    either::{Pairing, Route},
    with_every_pairing,
};

with_every_pairing! {
    the_subprotocol_that_the_server_prefers_is_agreed_on
    without_a_common_subprotocol_there_is_none
    a_refusal_is_seen_with_status_header_and_body
    an_accepted_request_may_carry_headers_both_ways
    an_unknown_path_is_refused_with_404
    a_limit_of_one_route_is_not_that_of_another
    a_route_decides_which_origins_may_connect
    parameters_of_the_path_and_the_query_reach_the_handler
    a_full_server_answers_with_503_and_serves_again_later
}

fn the_subprotocol_that_the_server_prefers_is_agreed_on(pairing: Pairing) {
    let (route, take) = Route::hand_over(pairing.server);
    let server = pairing.serve(route.subprotocols(&["v2.chat", "v1.chat"])).start();
    let client = pairing.client(&server, "/").subprotocol("v1.chat").subprotocol("v2.chat");
    let client = client.connect().unwrap();
    assert_eq!(client.subprotocol().as_deref(), Some("v2.chat"));
    assert_eq!(take().ws.subprotocol().as_deref(), Some("v2.chat"));
}

fn without_a_common_subprotocol_there_is_none(pairing: Pairing) {
    let (route, take) = Route::hand_over(pairing.server);
    let server = pairing.serve(route.subprotocols(&["chat"])).start();
    for client in [pairing.client(&server, "/").subprotocol("news"), pairing.client(&server, "/")] {
        let client = client.connect().unwrap();
        assert_eq!(client.subprotocol(), None);
        assert_eq!(take().ws.subprotocol(), None);
    }
}

fn expect_refused(result: Result<impl Sized, Error>) -> Box<Response> {
    match result.map(|_| ()) {
        Err(Error::Handshake(HandshakeError::Refused(response))) => response,
        other => panic!("not refused but {other:?}"),
    }
}

fn a_refusal_is_seen_with_status_header_and_body(pairing: Pairing) {
    let route = Route::echo(pairing.server).check(|request| match request.header("Authorization") {
        Some("Bearer right") => Ok(Accept::new()),
        _ => Err(Response::new(401).header("WWW-Authenticate", "Bearer").text("who are you?")),
    });
    let server = pairing.serve(route).start();
    for client in
        [pairing.client(&server, "/"), pairing.client(&server, "/").header("Authorization", "Bearer wrong")]
    {
        let response = expect_refused(client.connect());
        assert_eq!(response.status(), 401);
        assert_eq!(response.header_value("WWW-Authenticate"), Some("Bearer"));
        assert_eq!(response.body_bytes(), b"who are you?");
    }
    let client = pairing.client(&server, "/").header("Authorization", "Bearer right");
    let mut client = client.connect().unwrap();
    client.send("in").unwrap();
    assert_eq!(client.message(), "in");
}

fn an_accepted_request_may_carry_headers_both_ways(pairing: Pairing) {
    let (route, take) = Route::hand_over(pairing.server);
    let route = route.check(|_| Ok(Accept::new().header("X-Server", "this one")));
    let server = pairing.serve(route).start();
    let client = pairing.client(&server, "/").header("X-Client", "that one");
    let (_client, response) = client.connect_with_response().unwrap();
    assert_eq!(response.header_value("X-Server"), Some("this one"));
    assert_eq!(take().request.header("X-Client"), Some("that one"));
}

fn an_unknown_path_is_refused_with_404(pairing: Pairing) {
    let server = pairing.serve(Route::echo(pairing.server)).start();
    let error = pairing.client(&server, "/elsewhere").connect().unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
    assert_eq!(expect_refused(pairing.client(&server, "/elsewhere").connect()).status(), 404);
}

fn a_limit_of_one_route_is_not_that_of_another(pairing: Pairing) {
    let small = Route::echo(pairing.server).configure(|config| config.max_message_size = 4);
    let server = pairing.serve(Route::echo(pairing.server)).mount("/small", small).start();
    let mut client = pairing.client(&server, "/").connect().unwrap();
    client.send("five!").unwrap();
    assert_eq!(client.message(), "five!");
    let mut client = pairing.client(&server, "/small").connect().unwrap();
    client.send("four").unwrap();
    assert_eq!(client.message(), "four");
    client.send("five!").unwrap();
    assert_eq!(client.receive_to_abnormal_close().code, CloseCode::MESSAGE_TOO_BIG);
}

fn a_route_decides_which_origins_may_connect(pairing: Pairing) {
    let named = OriginPolicy::OneOf(vec!["https://example.com".into()]);
    let server = pairing
        .serve(Route::echo(pairing.server))
        .mount("/named", Route::echo(pairing.server).origin(named))
        .mount("/any", Route::echo(pairing.server).origin(OriginPolicy::Any))
        .start();
    let connect = |path, origin| pairing.client(&server, path).header("Origin", origin).connect();
    assert_eq!(expect_refused(connect("/", "https://example.com")).status(), 403);
    let same = format!("http{}://{}", if pairing.transport.is_tls() { "s" } else { "" }, server.address());
    connect("/", &same).unwrap();
    connect("/named", "https://example.com").unwrap();
    assert_eq!(expect_refused(connect("/named", "https://example.org")).status(), 403);
    connect("/any", "https://example.org").unwrap();
}

fn parameters_of_the_path_and_the_query_reach_the_handler(pairing: Pairing) {
    let (route, take) = Route::hand_over(pairing.server);
    let server = pairing.serve(Route::echo(pairing.server)).mount("/rooms/:room", route).start();
    let _client = pairing.client(&server, "/rooms/kitchen?knock=twice").connect().unwrap();
    let request = take().request;
    assert_eq!(request.parameter("room"), Some("kitchen"));
    assert_eq!(request.query(), Some("knock=twice"));
}

fn a_full_server_answers_with_503_and_serves_again_later(pairing: Pairing) {
    let server = pairing.serve(Route::echo(pairing.server)).max_connections(2).start();
    let mut first = pairing.client(&server, "/").connect().unwrap();
    let _second = pairing.client(&server, "/").connect().unwrap();
    let refused = pairing.client(&server, "/").connect();
    if pairing.transport.is_tls() {
        // The server refuses before TLS, so the client receives bytes that are not TLS.
        refused.unwrap_err();
    } else {
        assert_eq!(expect_refused(refused).status(), 503);
    }
    first.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    drop(first);
    ws_tests::eventually("there is room again", || pairing.client(&server, "/").connect().is_ok());
}
