//! Clients with servers that redirect them.

use std::{
    net::{SocketAddr, TcpListener},
    thread::{self, JoinHandle},
};

use ws_std::{Error, HandshakeError, RedirectProblem};
use ws_tests::{
    Raw, RawListener,
    certificates::Authority,
    either::{Adapter, Client},
    tls::RawTls,
    wire, with_both_adapters,
};

with_both_adapters! {
    redirects_are_followed_on_request_only
    each_status_of_a_redirect_is_followed
    a_relative_location_is_resolved
    a_loop_ends_with_the_last_response
    tls_is_never_given_up
    a_redirect_may_begin_tls
    credentials_stay_with_their_origin
    a_redirect_passes_the_proxy
    a_response_with_cookies_is_readable
}

/// Answers one request after the other with these responses, and then opens a WebSocket if there is one more. Returns the
/// heads of all requests.
fn serve(listener: RawListener, responses: Vec<String>) -> JoinHandle<Vec<String>> {
    thread::spawn(move || {
        responses.into_iter().map(|response| answer(listener.accept(), &response)).collect()
    })
}

/// Answers one request. An empty response opens the WebSocket.
fn answer(mut raw: Raw, response: &str) -> String {
    let head = raw.head();
    if response.is_empty() {
        raw.write(wire::response(&head));
    } else {
        raw.write(response);
    }
    head
}

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

fn listeners() -> [(RawListener, SocketAddr); 2] {
    [(); 2].map(|()| {
        let listener = RawListener::new();
        let address = listener.address();
        (listener, address)
    })
}

fn redirects_are_followed_on_request_only(adapter: Adapter) {
    let [(first, first_address), (second, second_address)] = listeners();
    let first = serve(first, vec![redirect(302, &format!("ws://{second_address}/b")); 2]);
    let second = serve(second, vec![String::new()]);
    let client = || Client::new(adapter, &format!("ws://{first_address}/a"));
    match client().connect() {
        Err(Error::Handshake(HandshakeError::Refused(response))) => assert_eq!(response.status(), 302),
        result => panic!("{result:?}"),
    }
    let ws = client().max_redirects(1).connect().unwrap();
    assert_eq!(ws.addresses()[0], Some(second_address));
    assert!(first.join().unwrap().iter().all(|head| head.starts_with("GET /a ")));
    assert!(second.join().unwrap()[0].starts_with("GET /b "));
}

fn each_status_of_a_redirect_is_followed(adapter: Adapter) {
    let listener = RawListener::new();
    let url = listener.url("/");
    let mut responses: Vec<_> = [301, 302, 303, 307, 308].map(|status| redirect(status, "/")).into();
    responses.extend([String::new(), redirect(300, "/")]);
    let serving = serve(listener, responses);
    Client::new(adapter, &url).max_redirects(5).connect().unwrap();
    let error = Client::new(adapter, &url).max_redirects(5).connect().unwrap_err();
    assert!(matches!(error, Error::Handshake(HandshakeError::Refused(_))), "{error}");
    assert!(serving.join().unwrap().iter().all(|head| head.starts_with("GET / ")));
}

fn a_relative_location_is_resolved(adapter: Adapter) {
    let listener = RawListener::new();
    let url = listener.url("/a/b?x=1");
    let responses = ["../c?y=2#top", "?z", "d/./e"].map(|location| redirect(307, location));
    let serving = serve(listener, [&responses[..], &[String::new()]].concat());
    Client::new(adapter, &url).max_redirects(10).connect().unwrap();
    let targets = serving.join().unwrap();
    let targets: Vec<_> = targets.iter().map(|head| head.split(' ').nth(1).unwrap()).collect();
    assert_eq!(targets, ["/a/b?x=1", "/c?y=2", "/c?z", "/d/e"]);
}

fn a_loop_ends_with_the_last_response(adapter: Adapter) {
    for (limit, followed) in [(1, 1), (10, 10), (1000, 10)] {
        let listener = RawListener::new();
        let url = listener.url("/");
        let serving = serve(listener, vec![redirect(308, "/"); followed + 1]);
        match Client::new(adapter, &url).max_redirects(limit).connect() {
            Err(Error::Handshake(HandshakeError::Redirect { response, problem })) => {
                assert_eq!(response.header_value("Location"), Some("/"));
                assert_eq!(problem, RedirectProblem::TooMany { limit: followed as u32 });
            }
            result => panic!("{result:?}"),
        }
        assert_eq!(serving.join().unwrap().len(), followed + 1);
    }
}

/// Answers one request over TLS with this response.
fn serve_tls(response: String) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let mut raw = RawTls::accept_tls(&listener, &Authority::shared().server());
        let head = raw.head();
        raw.write(if response.is_empty() { wire::response(&head) } else { response });
    });
    (url, serving)
}

fn tls_is_never_given_up(adapter: Adapter) {
    let plain = RawListener::new();
    for scheme in ["ws", "http"] {
        let (url, serving) = serve_tls(redirect(301, &format!("{scheme}://{}/", plain.address())));
        let client = Client::new(adapter, &url).max_redirects(10).tls(Authority::shared().trusted());
        match client.connect() {
            Err(Error::Handshake(HandshakeError::Redirect { response, problem })) => {
                assert_eq!((response.status(), problem), (301, RedirectProblem::GivesUpTls));
            }
            result => panic!("{result:?}"),
        }
        serving.join().unwrap();
    }
}

fn a_redirect_may_begin_tls(adapter: Adapter) {
    let (secure, serving_tls) = serve_tls(String::new());
    let listener = RawListener::new();
    let url = listener.url("/");
    let serving = serve(listener, vec![redirect(301, &secure.replace("wss", "https"))]);
    let client = Client::new(adapter, &url).max_redirects(1).tls(Authority::shared().trusted());
    client.connect().unwrap();
    serving.join().unwrap();
    serving_tls.join().unwrap();
}

fn credentials_stay_with_their_origin(adapter: Adapter) {
    const CREDENTIALS: [&str; 3] = ["Authorization", "Cookie", "X-Api-Key"];
    let [(first, first_address), (second, second_address)] = listeners();
    let responses = vec![redirect(302, "/same"), redirect(302, &format!("ws://{second_address}/"))];
    let (first, second) = (serve(first, responses), serve(second, vec![String::new()]));
    let client = Client::new(adapter, &format!("ws://user:secret@{first_address}/"));
    let client = client.header("Cookie", "session=1").header("X-Api-Key", "2").header("X-Trace", "3");
    client.max_redirects(10).connect().unwrap();
    for head in first.join().unwrap() {
        assert!(CREDENTIALS.iter().all(|name| wire::header(&head, name).is_some()), "{head}");
    }
    let head = &second.join().unwrap()[0];
    assert!(CREDENTIALS.iter().all(|name| wire::header(head, name).is_none()), "{head}");
    assert_eq!(wire::header(head, "X-Trace"), Some("3"));
    assert_eq!(wire::header(head, "Host"), Some(&*second_address.to_string()));
}

fn a_redirect_passes_the_proxy(adapter: Adapter) {
    let listener = RawListener::new();
    let proxy = format!("http://{}", listener.address());
    let serving = thread::spawn(move || {
        [redirect(302, "ws://second.test/"), String::new()].map(|response| {
            let mut raw = listener.accept();
            let head = raw.head();
            raw.write("HTTP/1.1 200 OK\r\n\r\n");
            answer(raw, &response);
            head.lines().next().unwrap().to_owned()
        })
    });
    Client::new(adapter, "ws://first.test/").proxy(&proxy).max_redirects(1).connect().unwrap();
    let expected = ["first", "second"].map(|name| format!("CONNECT {name}.test:80 HTTP/1.1"));
    assert_eq!(serving.join().unwrap(), expected);
}

fn a_response_with_cookies_is_readable(adapter: Adapter) {
    let listener = RawListener::new();
    let url = listener.url("/");
    let serving = thread::spawn(move || {
        let mut raw = listener.accept();
        let head = raw.head();
        let cookies = "Set-Cookie: session=1a2b; Path=/; HttpOnly\r\nSet-Cookie: theme=dark\r\n\r\n";
        raw.write(wire::response(&head).replace("\r\n\r\n", &format!("\r\n{cookies}")));
    });
    let (_ws, response) = Client::new(adapter, &url).connect_with_response().unwrap();
    assert_eq!(response.cookies().collect::<Vec<_>>(), [("session", "1a2b"), ("theme", "dark")]);
    serving.join().unwrap();
}
