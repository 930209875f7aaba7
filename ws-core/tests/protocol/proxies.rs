//! Requests to proxies and their replies, cut at every byte.

use proptest::{collection::vec, prelude::*};
use ws_core::{
    HandshakeConfig, HandshakeError, Url,
    proxy::{Environment, Handshake, Protocol, Proxy, ProxyError},
};

use crate::support::{cases, drained, pieces};

/// The end of a dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    /// The bytes of the server behind the last reply, or the error.
    result: Result<Vec<u8>, ProxyError>,
    /// All that was sent.
    sent: Vec<u8>,
}

fn handshake(proxy: &str, host: &str) -> Result<Handshake, ProxyError> {
    let mut limits = HandshakeConfig::default();
    limits.max_head_size = 1000;
    limits.max_headers = 8;
    Handshake::new(&proxy.parse().expect("a proxy"), host, 443, &limits)
}

/// Passes the replies of a proxy in pieces of these sizes, and then the end of its stream.
fn answered_in(proxy: &str, host: &str, replies: &[u8], sizes: &[usize]) -> Outcome {
    let mut handshake = handshake(proxy, host).expect("a request that can be sent");
    let mut sent = drained(&mut handshake.transmit());
    let (mut is_connected, mut rest, mut failed) = (false, Vec::new(), None);
    for piece in pieces(replies, sizes) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        if !is_connected {
            match handshake.receive(&mut input) {
                Ok(connected) => is_connected = connected.is_some(),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
            assert!(is_connected || input.is_empty(), "{} bytes are left", input.len());
            sent.extend(drained(&mut handshake.transmit()));
        }
        rest.extend_from_slice(input);
    }
    let result = match failed {
        Some(error) => Err(error),
        None if is_connected => Ok(rest),
        None => Err(handshake.receive_eof()),
    };
    Outcome { result, sent }
}

/// Returns the outcome, which is the same for each division of the replies.
fn answered(proxy: &str, host: &str, replies: &[u8]) -> Outcome {
    let whole = answered_in(proxy, host, replies, &[usize::MAX]);
    for sizes in [&[1][..], &[2], &[3, 1], &[7, 50]] {
        let cut = answered_in(proxy, host, replies, sizes);
        assert_eq!(whole.result, cut.result, "cut into {sizes:?}");
    }
    whole
}

const OK: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
/// The SOCKS5 proxy needs no authentication and has connected from an IPv4 address.
const SOCKS_OK: &[u8] = &[5, 0, 5, 0, 0, 1, 10, 0, 0, 1, 0x12, 0x34];

#[test]
fn connect_names_the_server_and_carries_basic_authentication() {
    let sent = answered("http://Aladdin:open%20sesame@proxy", "example.com", OK).sent;
    let expected = "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\
                    Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
    assert_eq!(String::from_utf8(sent).unwrap(), expected);
    let sent = answered("https://proxy", "2001:db8::1", OK).sent;
    assert_eq!(sent, b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n");
}

#[test]
fn the_bytes_behind_the_last_reply_belong_to_the_server() {
    for reply in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nProxy-Agent: a\r\n\r\n",
        // RFC 9110 9.3.6: a client ignores these in a 2xx.
        "HTTP/1.1 204 No\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let outcome = answered("http://proxy", "a", &[reply.as_bytes(), b"\x16\x03\x01"].concat());
        assert_eq!(outcome.result, Ok(b"\x16\x03\x01".to_vec()), "{reply:?}");
    }
    let outcome = answered("socks5h://proxy", "a", &[SOCKS_OK, b"more"].concat());
    assert_eq!(outcome.result, Ok(b"more".to_vec()));
}

#[test]
fn a_refusal_carries_the_status_of_the_proxy() {
    for status in [101, 302, 403, 407, 502] {
        let reply = format!("HTTP/1.1 {status} No\r\nProxy-Authenticate: Basic\r\n\r\nbody");
        let Err(ProxyError::Refused(response)) = answered("http://proxy", "a", reply.as_bytes()).result
        else {
            panic!("{status}");
        };
        assert_eq!(response.status(), status);
        assert_eq!(response.header_value("Proxy-Authenticate"), Some("Basic"));
    }
}

#[test]
fn an_http_proxy_that_violates_http_is_refused() {
    let endless_head = format!("HTTP/1.1 200 OK\r\n{}", "X: y\r\n".repeat(1000));
    let endless_line = format!("HTTP/1.1 200 {}", "x".repeat(10_000));
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(5);
    for (reply, expected) in [
        (&endless_head[..], "TooManyHeaders"),
        (&endless_line, "FirstLineTooLong"),
        (&interim, "Refused"),
        ("220 mail.example ESMTP\r\n", "NotHttp"),
        ("\x15\x03\x01\0\x02\x02\x16", "TlsRecord"),
        ("HTTP/1.1 abc\r\n\r\n", "MalformedHead"),
        ("HTTP/1.1 200 OK\n\n", "MalformedHead"),
        ("", "Eof"),
        ("HTTP/1.1 200 OK\r\nX: ", "Eof"),
        ("\x05\x00", "NotHttp"),
    ] {
        let error = answered("http://proxy", "a", reply.as_bytes()).result.unwrap_err();
        let name = match &error {
            ProxyError::Head(error) => format!("{error:?}"),
            error => format!("{error:?}"),
        };
        assert!(name.starts_with(expected), "{reply:.40?}: {error:?}");
        assert!(!matches!(error, ProxyError::Head(head) if *head == HandshakeError::Eof));
    }
}

#[test]
fn socks_sends_one_request_after_the_other() {
    let sent = |proxy: &str, host: &str, replies: &[u8]| answered(proxy, host, replies).sent;
    let name = |rest: &[u8]| [rest, &[5, 1, 0, 3, 11], b"example.com", &[1, 187]].concat();
    assert_eq!(sent("socks5h://proxy", "example.com", SOCKS_OK), name(&[5, 1, 0]));
    let ipv4 = [5, 1, 0, 5, 1, 0, 1, 192, 0, 2, 7, 1, 187];
    assert_eq!(sent("socks5://proxy", "192.0.2.7", SOCKS_OK), ipv4);
    let ipv6 = sent("socks5://proxy", "2001:db8::7", SOCKS_OK);
    assert_eq!(ipv6[3..9], [5, 1, 0, 4, 0x20, 0x01]);
    assert_eq!(ipv6.len(), 3 + 4 + 16 + 2);
    // With credentials, both methods are offered, and the server chooses.
    let replies = [&[5, 2, 1, 0], &SOCKS_OK[2..]].concat();
    let login = [5, 2, 0, 2, 1, 4, b'u', b's', b'e', b'r', 2, b'p', b':'];
    assert_eq!(sent("socks5h://user:p%3A@proxy", "example.com", &replies), name(&login));
    assert_eq!(sent("socks5h://user:p%3A@proxy", "example.com", SOCKS_OK), name(&login[..4]));
    // The next request waits for the reply.
    assert_eq!(sent("socks5h://user:p%3A@proxy", "example.com", &replies[..1]), login[..4]);
}

#[test]
fn a_reply_of_socks_may_contain_any_kind_of_address() {
    for address in [&[1, 1, 2, 3, 4][..], &[3, 0], &[3, 3, b'a', b'.', b'b'], &[&[4][..], &[7; 16]].concat()]
    {
        let reply = [&[5, 0, 5, 0, 77][..], address, &[0, 80], b"rest"].concat();
        assert_eq!(answered("socks5://proxy", "192.0.2.7", &reply).result, Ok(b"rest".to_vec()));
    }
    let longest = [&[5, 0, 5, 0, 0, 3, 255][..], &[b'x'; 255], &[0, 80]].concat();
    assert_eq!(answered("socks5://proxy", "192.0.2.7", &longest).result, Ok(Vec::new()));
}

#[test]
fn a_socks_proxy_that_refuses_or_violates_the_protocol_is_an_error() {
    let without = |reply: &[u8]| answered("socks5h://proxy", "a", reply).result.unwrap_err();
    let with = |reply: &[u8]| answered("socks5h://user:secret@proxy", "a", reply).result.unwrap_err();
    assert_eq!(without(b""), ProxyError::Eof);
    assert_eq!(without(&[4, 0]), ProxyError::NotSocks);
    assert_eq!(without(b"HTTP/1.1 400 Bad Request\r\n\r\n"), ProxyError::NotSocks);
    assert_eq!(without(&[5, 0xFF]), ProxyError::CredentialsMissing);
    assert_eq!(with(&[5, 0xFF]), ProxyError::NoAcceptableMethod);
    assert!(matches!(without(&[5, 2]), ProxyError::MalformedReply(_)), "it was not offered");
    assert!(matches!(with(&[5, 1]), ProxyError::MalformedReply(_)));
    assert_eq!(with(&[5, 2, 5, 0]), ProxyError::NotSocks);
    assert_eq!(with(&[5, 2, 1, 1]), ProxyError::CredentialsRefused);
    assert_eq!(with(&[5, 2, 1, 0, 5]), ProxyError::Eof);
    assert!(matches!(without(&[5, 0, 5, 0, 0, 9]), ProxyError::MalformedReply(_)));
    for code in 1..=255 {
        let error = without(&[5, 0, 5, code]);
        assert_eq!(error, ProxyError::SocksRefused(code));
        assert!(error.to_string().ends_with(&format!("(reply {code})")), "{error}");
    }
    for len in 0..SOCKS_OK.len() {
        assert_eq!(without(&SOCKS_OK[..len]), ProxyError::Eof);
    }
}

#[test]
fn a_request_that_does_not_fit_into_socks_is_refused() {
    let long = "x".repeat(256);
    for (proxy, host) in [
        ("socks5h://proxy".to_owned(), &long[..]),
        (format!("socks5h://{long}@proxy"), "a"),
        (format!("socks5h://user:{long}@proxy"), "a"),
        ("socks5h://:secret@proxy".to_owned(), "a"),
    ] {
        assert!(matches!(handshake(&proxy, host), Err(ProxyError::Unsendable(_))), "{proxy} {host}");
    }
    assert!(handshake(&format!("socks5h://user:{}@proxy", &long[1..]), &long[1..]).is_ok());
}

#[test]
fn the_url_of_a_proxy_has_a_scheme_and_a_default_port() {
    for (url, protocol, host, port) in [
        ("http://proxy.example", Protocol::Http, "proxy.example", 80),
        ("proxy.example:3128", Protocol::Http, "proxy.example", 3128),
        ("HTTPS://Proxy.example/", Protocol::Https, "proxy.example", 443),
        ("socks5://user@127.0.0.1", Protocol::Socks5, "127.0.0.1", 1080),
        ("socks5h://a:b@c@[::1]:1081", Protocol::Socks5h, "::1", 1081),
        ("http://[fe80::1%25lo]:1", Protocol::Http, "fe80::1%lo", 1),
    ] {
        let proxy: Proxy = url.parse().unwrap();
        assert_eq!((proxy.protocol(), proxy.host(), proxy.port()), (protocol, host, port), "{url}");
        let again: Proxy = proxy.to_string().parse().unwrap();
        assert_eq!((again.protocol(), again.host(), again.port()), (protocol, host, port), "{url}");
    }
    for url in [
        "",
        "http://",
        "ftp://a",
        "socks4://a",
        "http://a/b",
        "http://a:b",
        "http://a:0",
        "http://a b",
        "http://a\r\nX: y",
        "http://a?b",
        "http://a#b",
        "http://user@",
    ] {
        let error = url.parse::<Proxy>().unwrap_err();
        assert!(matches!(error, ProxyError::InvalidUrl(_)), "{url:?}: {error:?}");
    }
}

#[test]
fn credentials_of_a_proxy_are_not_shown() {
    for scheme in ["http", "socks5h"] {
        let url = format!("{scheme}://hush:4711@proxy");
        let proxy: Proxy = url.parse().unwrap();
        assert_eq!(proxy.to_string().parse::<Proxy>().unwrap().host(), "proxy");
        let handshake = handshake(&url, "a").unwrap();
        let environment = Environment::new(|_| Some(url.clone()));
        for shown in
            [format!("{proxy}"), format!("{proxy:?}"), format!("{handshake:?}"), format!("{environment:?}")]
        {
            assert!(!shown.contains("hush") && !shown.contains("4711"), "{shown}");
            assert!(!shown.contains("aHVzaD"), "{shown}");
        }
    }
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::new(|name| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).into()))
}

/// Returns the host of the proxy for a URL.
fn proxy_for(variables: &[(&str, &str)], url: &str) -> Option<String> {
    let url: Url = url.parse().unwrap();
    environment(variables).proxy_for(&url).unwrap().map(|proxy| proxy.host().to_owned())
}

#[test]
fn environment_variables_count_in_the_order_of_curl() {
    const WS: [&str; 5] = ["ws_proxy", "WS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"];
    const WSS: [&str; 6] = ["wss_proxy", "WSS_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    for (url, names) in [("ws://host/", &WS[..]), ("wss://host/", &WSS[..])] {
        for (at, name) in names.iter().enumerate() {
            // This one and all that count less.
            let hosts: Vec<String> = (0..names.len()).map(|number| format!("p{number}")).collect();
            let set: Vec<_> = (at..names.len()).map(|number| (names[number], &hosts[number][..])).collect();
            assert_eq!(proxy_for(&set, url).as_ref(), Some(&hosts[at]), "{name}");
            let empty: Vec<_> = set.iter().map(|(name, _)| (*name, "")).collect();
            assert_eq!(proxy_for(&empty, url), None, "an empty variable is not set");
        }
    }
    assert_eq!(proxy_for(&[("HTTP_PROXY", "evil"), ("https_proxy", "b")], "ws://host/"), None);
    assert_eq!(proxy_for(&[("http_proxy", "a")], "wss://host/"), None);
    let url = "ws://host/".parse().unwrap();
    assert!(environment(&[("http_proxy", "ftp://a")]).proxy_for(&url).is_err());
}

#[test]
fn no_proxy_lists_names_addresses_and_ranges() {
    for (list, excepted, others) in [
        ("*", &["a", "127.0.0.1", "[::1]"][..], &[][..]),
        (
            "example.com",
            &["example.com", "EXAMPLE.com", "a.b.example.com"],
            &["nonexample.com", "com", "example.org"],
        ),
        (".example.com", &["example.com", "www.example.com"], &["badexample.com"]),
        ("example.com.", &["example.com", "example.com."], &[]),
        ("a, b\tc,,d", &["a", "b", "c", "d"], &["e"]),
        ("127.0.0.1", &["127.0.0.1"], &["127.0.0.2", "1.127.0.0.1.example"]),
        ("10.0.0.0/8 192.168.1.0/24", &["10.1.2.3", "192.168.1.255"], &["11.0.0.1", "192.168.2.1"]),
        ("0.0.0.0/0", &["1.2.3.4"], &["[::1]", "a"]),
        ("[::1]", &["[::1]"], &["[::2]", "a"]),
        ("2001:db8::/32", &["[2001:db8::7]"], &["[2001:db9::7]"]),
        ("::/0", &["[::1]"], &["1.2.3.4"]),
        ("10.0.0.0/33,10.0.0.0/x,a/8,.", &[], &["10.0.0.1", "a"]),
        ("*,a", &["a"], &["b"]),
    ] {
        let variables = [("all_proxy", "proxy"), ("no_proxy", list), ("NO_PROXY", "*")];
        let is_excepted = |host: &str| proxy_for(&variables, &format!("ws://{host}:9001/")).is_none();
        assert!(excepted.iter().all(|host| is_excepted(host)), "{list}");
        assert!(!others.iter().any(|host| is_excepted(host)), "{list}");
    }
    assert_eq!(proxy_for(&[("all_proxy", "proxy"), ("NO_PROXY", "a")], "ws://a/"), None);
}

proptest! {
    #![proptest_config(cases(500))]

    // The result does not depend on the division of the replies into pieces, and no reply causes a panic.
    #[test]
    fn a_proxy_may_reply_anything_in_any_pieces(
        is_http in any::<bool>(),
        beginning in prop_oneof![Just(&b""[..]), Just(OK), Just(SOCKS_OK), Just(&[5, 2, 1, 0, 5, 0][..])],
        change in any::<prop::sample::Index>(),
        noise in vec(any::<u8>(), 0..40),
        sizes in vec(1..20_usize, 1..5),
    ) {
        let kept = if beginning.is_empty() { 0 } else { change.index(beginning.len() + 1) };
        let replies = [&beginning[..kept], &noise].concat();
        let proxy = if is_http { "http://proxy" } else { "socks5h://user:secret@proxy" };
        let whole = answered_in(proxy, "a", &replies, &[usize::MAX]);
        let cut = answered_in(proxy, "a", &replies, &sizes);
        prop_assert_eq!(&whole.result, &cut.result);
        if whole.result.is_ok() {
            prop_assert_eq!(whole.sent, cut.sent);
        }
    }
}
