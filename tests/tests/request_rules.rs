//! Answers of servers to unusual and invalid requests. The core decides them, and both adapters deliver them.

use ws_std::Response;
use ws_tests::{
    Raw,
    certificates::Authority,
    either::{Adapter, Route, Running, Server},
    tls::RawTls,
    wire::{self, KEY},
    with_both_adapters,
};

with_both_adapters! {
    an_upgrade_on_a_path_with_only_a_page_says_so
    pages_are_served_to_http_1_0
    an_upgrade_in_http_1_0_is_refused_with_the_remedy_for_the_proxy
    one_empty_line_before_a_request_is_skipped
    a_426_names_upgrade_in_connection
    a_response_without_content_has_neither_a_length_nor_a_body
    a_page_with_a_status_that_is_no_answer_is_a_500
    an_invalid_host_or_target_is_refused
    the_host_of_an_absolute_target_decides_about_the_origin
    empty_elements_of_lists_are_ignored
    a_request_with_128_header_fields_is_accepted
    a_parameter_of_a_route_is_never_empty
    a_foreign_page_is_refused_with_both_names_and_the_option
    a_page_without_tls_may_not_connect_over_tls
}

fn serve(adapter: Adapter) -> Running {
    let server = Server::new(adapter).mount("/", Route::echo(adapter));
    let server = server.mount("/rooms/:room", Route::echo(adapter));
    let server = server.page("/page", |_| Response::new(200).text("fine"));
    let server = server.page("/nothing", |_| Response::new(204).text("not sent"));
    server.page("/switching", |_| Response::new(101)).start()
}

/// An answer: its status, its head, and its body if it opens no connection.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn ask(server: &Running, request: impl AsRef<[u8]>) -> Answer {
    let mut raw = Raw::connect(server.address());
    raw.write(request);
    let head = raw.head();
    let status = head[9..12].parse().unwrap();
    let rest = if status == 101 { Vec::new() } else { raw.rest().unwrap() };
    Answer { status, head, body: String::from_utf8(rest).unwrap() }
}

fn status(adapter: Adapter, request: &str) -> u16 {
    ask(&serve(adapter), request).status
}

/// An upgrade with this target and these lines in place of `Host`.
fn upgrade(target: &str, host: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\n{host}Upgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

fn an_upgrade_on_a_path_with_only_a_page_says_so(adapter: Adapter) {
    let answer = ask(&serve(adapter), wire::request("/page", &[]));
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("a page and no WebSocket"), "{answer:?}");
}

fn pages_are_served_to_http_1_0(adapter: Adapter) {
    let answer = ask(&serve(adapter), "GET /page HTTP/1.0\r\n\r\n");
    assert_eq!((answer.status, &*answer.body), (200, "fine"));
}

fn an_upgrade_in_http_1_0_is_refused_with_the_remedy_for_the_proxy(adapter: Adapter) {
    let answer = ask(&serve(adapter), wire::request("/", &[]).replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(answer.status, 426);
    assert!(answer.body.contains("proxy_http_version 1.1"), "{answer:?}");
}

fn one_empty_line_before_a_request_is_skipped(adapter: Adapter) {
    assert_eq!(status(adapter, &format!("\r\n{}", wire::request("/", &[]))), 101);
}

fn a_426_names_upgrade_in_connection(adapter: Adapter) {
    let answer = ask(&serve(adapter), "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(answer.status, 426);
    let connection = wire::header(&answer.head, "Connection").unwrap().to_ascii_lowercase();
    assert!(connection.split(',').any(|option| option.trim() == "upgrade"), "{connection}");
}

fn a_response_without_content_has_neither_a_length_nor_a_body(adapter: Adapter) {
    let answer = ask(&serve(adapter), "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((answer.status, &*answer.body), (204, ""));
    assert_eq!(wire::header(&answer.head, "Content-Length"), None);
}

fn a_page_with_a_status_that_is_no_answer_is_a_500(adapter: Adapter) {
    assert_eq!(status(adapter, "GET /switching HTTP/1.1\r\nHost: x\r\n\r\n"), 500);
}

fn an_invalid_host_or_target_is_refused(adapter: Adapter) {
    let server = serve(adapter);
    for (target, host) in [
        ("/", "Host: a b/c?d@e\r\n"),
        ("/", "Host:\r\n"),
        ("/", ""),
        ("/#part", "Host: x\r\n"),
        ("http:///", "Host: x\r\n"),
    ] {
        let answer = ask(&server, upgrade(target, host));
        assert_eq!(answer.status, 400, "{target} {host}");
    }
}

fn the_host_of_an_absolute_target_decides_about_the_origin(adapter: Adapter) {
    let server = serve(adapter);
    for (origin, status) in [("one.example", 101), ("two.example", 403)] {
        let lines = format!("Host: two.example\r\nOrigin: http://{origin}\r\n");
        assert_eq!(ask(&server, upgrade("http://one.example/", &lines)).status, status, "{origin}");
    }
}

fn empty_elements_of_lists_are_ignored(adapter: Adapter) {
    let server = serve(adapter);
    for line in [
        "Sec-WebSocket-Extensions:",
        "Sec-WebSocket-Extensions: , ,",
        "Sec-WebSocket-Protocol: ,chat,,superchat,",
    ] {
        assert_eq!(ask(&server, wire::request("/", &[line])).status, 101, "{line}");
    }
}

fn a_request_with_128_header_fields_is_accepted(adapter: Adapter) {
    let own = wire::request("/", &[]).matches(": ").count();
    for (count, expected) in [(128, 101), (129, 431)] {
        let lines = vec!["X: y"; count - own];
        assert_eq!(status(adapter, &wire::request("/", &lines)), expected, "{count}");
    }
}

fn a_parameter_of_a_route_is_never_empty(adapter: Adapter) {
    let server = serve(adapter);
    for (path, expected) in [("/rooms/lobby", 101), ("/rooms/", 404)] {
        assert_eq!(ask(&server, wire::request(path, &[])).status, expected, "{path}");
    }
}

fn a_foreign_page_is_refused_with_both_names_and_the_option(adapter: Adapter) {
    let answer = ask(&serve(adapter), wire::request("/", &["Origin: https://evil.example"]));
    assert_eq!(answer.status, 403);
    for part in ["https://evil.example", "127.0.0.1", "OriginPolicy::OneOf"] {
        assert!(answer.body.contains(part), "{part} is missing in {:?}", answer.body);
    }
}

fn a_page_without_tls_may_not_connect_over_tls(adapter: Adapter) {
    let server = Server::new(adapter).mount("/", Route::echo(adapter));
    let server = server.tls(Authority::shared().server().serving()).start();
    for (scheme, status) in [("https", "101"), ("http", "403")] {
        let mut raw = RawTls::connect(server.address(), &[]);
        raw.write(wire::request("/", &[&format!("Origin: {scheme}://127.0.0.1")]));
        assert_eq!(raw.head().get(9..12), Some(status), "{scheme}");
    }
}
