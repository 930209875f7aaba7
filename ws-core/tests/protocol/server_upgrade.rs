//! Requirements for a WebSocket request (RFC 6455 section 4.2.1), and the pages that may send it.

use ws_core::{HandshakeError, OriginPolicy};

use crate::support::{
    http::{Head, ask, refused, serve},
    limits,
};

fn assert_refused(head: &Head, status: u16, error: &HandshakeError) -> String {
    let (actual, response) = refused(head);
    assert_eq!(actual, *error, "{head:?}");
    assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{head:?}");
    response
}

fn assert_accepted(head: &Head) {
    assert!(serve(head).is_ok(), "{:?}: {:?}", serve(head), head);
}

#[test]
fn a_request_that_obeys_every_rule_is_accepted() {
    assert_accepted(&Head::request());
}

#[test]
fn upgrade_is_a_list_that_names_websocket_in_any_case() {
    for value in [
        "websocket",
        "WebSocket",
        "WEBSOCKET",
        "h2c, websocket",
        "websocket,h2c",
        ", websocket ,,",
        "a ,\twebsocket",
    ] {
        assert_accepted(&Head::request().set("Upgrade", value));
    }
    assert_accepted(&Head::request().set("Upgrade", "h2c").with("upgrade: WebSocket"));
    for value in ["", "h2c", "websockets", "web socket", "websocket/13", "websocket;q=1", "\"websocket\""] {
        let response =
            assert_refused(&Head::request().set("Upgrade", value), 426, &HandshakeError::NotAnUpgrade);
        assert!(response.contains("\r\nUpgrade: websocket\r\n"));
    }
    assert_refused(&Head::request().without("Upgrade"), 426, &HandshakeError::NotAnUpgrade);
}

#[test]
fn connection_is_a_list_that_names_upgrade_in_any_case() {
    for value in ["Upgrade", "upgrade", "UPGRADE", "keep-alive, Upgrade", "Upgrade,close", ",, upgrade ,"] {
        assert_accepted(&Head::request().set("Connection", value));
    }
    assert_accepted(&Head::request().set("Connection", "keep-alive").with("connection: Upgrade"));
    let error = HandshakeError::InvalidHeader("Connection");
    for value in ["", "keep-alive", "close", "Upgraded", "up grade", "Upgrade;", "keep-alive Upgrade"] {
        assert_refused(&Head::request().set("Connection", value), 400, &error);
    }
    assert_refused(&Head::request().without("Connection"), 400, &error);
}

#[test]
fn only_get_opens_a_websocket() {
    for method in ["POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "GETS", "FOO"] {
        let head = Head::request().first_line(format!("{method} /chat HTTP/1.1"));
        let response = assert_refused(&head, 405, &HandshakeError::MethodNotAllowed);
        assert!(response.contains("\r\nAllow: GET\r\n"));
    }
}

#[test]
fn a_request_that_announces_a_body_is_refused() {
    for line in [
        "Content-Length: 1",
        "content-length: 100000000000000000000000",
        "Content-Length: -1",
        "Content-Length: 0x0",
        "Content-Length: 0, 5",
        "Content-Length:",
        "Transfer-Encoding: chunked",
        "transfer-encoding: identity",
        "Transfer-Encoding:",
    ] {
        assert_refused(&Head::request().with(line), 400, &HandshakeError::UnexpectedBody);
    }
    let smuggled = Head::request().with("Content-Length: 0").with("Content-Length: 5");
    assert_refused(&smuggled, 400, &HandshakeError::UnexpectedBody);
    assert_accepted(&Head::request().with("Content-Length: 0"));
}

#[test]
fn the_version_is_exactly_13() {
    for value in [
        "8", "7", "0", "12", "14", "130", "013", "+13", "-13", "13.0", "13,8", "8, 13", "13 13", "", "0xD",
        "thirteen", "\u{661}3",
    ] {
        let head = Head::request().set("Sec-WebSocket-Version", value);
        let response = assert_refused(&head, 426, &HandshakeError::UnsupportedVersion);
        // RFC 6455 4.4: the supported versions.
        assert!(response.contains("\r\nSec-WebSocket-Version: 13\r\n"));
    }
    assert_refused(
        &Head::request().without("Sec-WebSocket-Version"),
        426,
        &HandshakeError::UnsupportedVersion,
    );
    for second in ["Sec-WebSocket-Version: 13", "sec-websocket-version: 8"] {
        let error = HandshakeError::DuplicateHeader("Sec-WebSocket-Version");
        assert_refused(&Head::request().with(second), 400, &error);
    }
}

#[test]
fn the_key_is_16_bytes_in_base64() {
    for key in ["AAAAAAAAAAAAAAAAAAAAAA==", "AQIDBAUGBwgJCgsMDQ4PEC==", "+/+/+/+/+/+/+/+/+/+/+w=="] {
        assert_accepted(&Head::request().set("Sec-WebSocket-Key", key));
    }
    let error = HandshakeError::InvalidHeader("Sec-WebSocket-Key");
    for key in [
        "",
        "short",
        "sixteen raw byte",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25j====",
        "dGhlIHNhbXBsZSBub25jZQQ=",
        "dGhlIHNhbXBsZSBub25jZQQQ",
        "dGhlIHNhbXBsZSBub25jZQ==x",
        "xdGhlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBs ZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25j-_==",
        "dGhlIHNhbXBsZSBub25j!!==",
        "========================",
        "\"dGhlIHNhbXBsZSBub25jZQ\"",
        "dGhlIHNhbXBsZSBub25jé==",
    ] {
        assert_refused(&Head::request().set("Sec-WebSocket-Key", key), 400, &error);
    }
    assert_refused(
        &Head::request().without("Sec-WebSocket-Key"),
        400,
        &HandshakeError::MissingHeader("Sec-WebSocket-Key"),
    );
    assert_refused(
        &Head::request().with("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="),
        400,
        &HandshakeError::DuplicateHeader("Sec-WebSocket-Key"),
    );
}

fn subprotocols(head: &Head) -> Vec<String> {
    let (request, _) = ask(&limits(|_| {}), &head.bytes(), &[1]).unwrap().unwrap();
    let upgrade = request.upgrade(&OriginPolicy::Any).unwrap();
    // If several are supported, the server's order decides.
    let offered: Vec<_> = request.subprotocols().map(str::to_owned).collect();
    for name in &offered {
        assert_eq!(upgrade.choose_subprotocol([&name[..]]), Some(&name[..]));
        assert_eq!(upgrade.choose_subprotocol(["unheard.of", name, &offered[0]]), Some(&name[..]));
    }
    assert_eq!(upgrade.choose_subprotocol(["unheard.of", &name_in_capitals(&offered)]), None);
    offered
}

fn name_in_capitals(offered: &[String]) -> String {
    offered.first().map_or_else(|| "NONE".to_owned(), |name| name.to_uppercase())
}

#[test]
fn subprotocols_are_offered_in_one_list_over_any_number_of_headers() {
    let offer = |lines: &[&str]| {
        let names = lines.iter().map(|line| format!("Sec-WebSocket-Protocol: {line}"));
        subprotocols(&names.fold(Head::request(), Head::with))
    };
    assert_eq!(subprotocols(&Head::request()), [""; 0]);
    assert_eq!(offer(&["chat"]), ["chat"]);
    assert_eq!(offer(&["chat, superchat"]), ["chat", "superchat"]);
    assert_eq!(offer(&["chat ,\tsuperchat,v2.json"]), ["chat", "superchat", "v2.json"]);
    assert_eq!(offer(&["chat", "superchat, v1"]), ["chat", "superchat", "v1"]);
}

#[test]
fn a_malformed_list_of_subprotocols_is_refused_and_nothing_in_it_chosen() {
    let error = HandshakeError::InvalidHeader("Sec-WebSocket-Protocol");
    for list in ["chat superchat", "chat; q=1", "\"chat\"", "ch@t", "chat/1", "chät", "chat, chat"] {
        assert_refused(&Head::request().with(format!("Sec-WebSocket-Protocol: {list}")), 400, &error);
    }
    let twice = Head::request().with("Sec-WebSocket-Protocol: a, b").with("Sec-WebSocket-Protocol: b");
    assert_refused(&twice, 400, &error);
}

#[test]
fn empty_elements_in_a_list_of_subprotocols_are_ignored() {
    // RFC 9110 5.6.1.2: "a recipient MUST parse and ignore a reasonable number of empty list elements".
    let offer = |list: &str| Head::request().with(format!("Sec-WebSocket-Protocol: {list}"));
    for list in ["", ",", " , ,", &",".repeat(15)] {
        assert_eq!(subprotocols(&offer(list)), [""; 0], "{list:?}");
    }
    for list in ["chat,", ",chat", ",, chat ,\t,", &format!("{}chat", ",".repeat(16))] {
        assert_eq!(subprotocols(&offer(list)), ["chat"], "{list:?}");
    }
    assert_eq!(subprotocols(&offer("chat,,superchat")), ["chat", "superchat"]);
    assert_eq!(subprotocols(&offer("").with("Sec-WebSocket-Protocol: chat")), ["chat"]);
}

#[test]
fn a_list_of_more_than_sixteen_empty_elements_is_refused() {
    for name in ["Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"] {
        let error = HandshakeError::InvalidHeader(name);
        for list in [",".repeat(16), format!("{}chat", ",".repeat(17)), ",".repeat(10_000)] {
            assert_refused(&Head::request().with(format!("{name}: {list}")), 400, &error);
        }
        let spread = (0..17).fold(Head::request(), |head, _| head.with(format!("{name}:")));
        assert_refused(&spread, 400, &error);
    }
}

#[test]
fn an_empty_list_of_extensions_offers_none() {
    for list in ["", ",", " ,\t, "] {
        let mut server = serve(&Head::request().with(format!("Sec-WebSocket-Extensions: {list}"))).unwrap();
        let response = String::from_utf8(crate::support::written(&mut server)).unwrap();
        assert!(response.starts_with("HTTP/1.1 101 ") && !response.contains("Extensions"));
    }
}

#[test]
fn subprotocols_in_bytes_that_are_no_text_are_refused_too() {
    let error = HandshakeError::InvalidHeader("Sec-WebSocket-Protocol");
    let field = |value: &[u8]| [b"Sec-WebSocket-Protocol: ", value].concat();
    assert_refused(&Head::request().with(field(b"chat\xFF")), 400, &error);
    assert_refused(&Head::request().with(field(b"\xFF, chat")), 400, &error);
    assert_refused(&Head::request().with(field(b"chat")).with(field(b"\xFF")), 400, &error);
}

#[test]
fn only_spaces_and_tabs_surround_the_elements_of_a_list() {
    // RFC 9110 5.6.3: optional whitespace is SP and HTAB, not all whitespace of Unicode.
    let error = HandshakeError::InvalidHeader("Sec-WebSocket-Protocol");
    for list in ["chat\u{a0}", "\u{2003}chat", "a, chat\u{85}"] {
        assert_refused(&Head::request().with(format!("Sec-WebSocket-Protocol: {list}")), 400, &error);
    }
}

#[test]
fn extensions_may_be_offered_and_are_declined() {
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits, x",
        "permessage-deflate; server_max_window_bits=999; nonsense=\"quoted\"",
        "foo ;\tbar = baz,__proto__",
    ] {
        let mut server = serve(&Head::request().with(format!("Sec-WebSocket-Extensions: {offer}"))).unwrap();
        let response = String::from_utf8(crate::support::written(&mut server)).unwrap();
        assert!(response.starts_with("HTTP/1.1 101 ") && !response.contains("Extensions"));
    }
}

#[test]
fn a_malformed_list_of_extensions_is_refused() {
    let error = HandshakeError::InvalidHeader("Sec-WebSocket-Extensions");
    for list in ["foo;", "foo,;", ";a", "foo; =1", "foo; a=", "foo; a=\"b", "foo bar", "f(o", "f\u{f6}o"] {
        assert_refused(&Head::request().with(format!("Sec-WebSocket-Extensions: {list}")), 400, &error);
    }
    let second = Head::request().with("Sec-WebSocket-Extensions: foo").with("Sec-WebSocket-Extensions: ;");
    assert_refused(&second, 400, &error);
    assert_refused(&Head::request().with(&b"Sec-WebSocket-Extensions: \xFF"[..]), 400, &error);
}

#[test]
fn a_request_for_something_else_is_told_apart() {
    let page = Head::new(["GET /index.html HTTP/1.1", "Host: example.com"]);
    let (request, _) = ask(&limits(|_| {}), &page.bytes(), &[1]).unwrap().unwrap();
    assert!(!request.is_upgrade());
    assert_eq!(request.upgrade(&OriginPolicy::Any).unwrap_err(), HandshakeError::NotAnUpgrade);
    for head in [
        Head::request(),
        Head::request().set("Upgrade", "h2c, websocket"),
        Head::request().set("Connection", "close"),
    ] {
        let (request, _) = ask(&limits(|_| {}), &head.bytes(), &[1]).unwrap().unwrap();
        assert!(request.is_upgrade());
    }
}
