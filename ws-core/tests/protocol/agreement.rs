//! Any client and any server either open the same connection or both fail. No received input makes a handshake panic.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*, sample::Index};
use ws_core::{
    Config, Connection, HandshakeConfig, HandshakeError, OriginPolicy, Role, Timestamp, client, server,
};

use crate::support::{
    cases, drained,
    http::{Head, ask, assert_talk, client_request, opening, start},
    pieces, strategies, written,
};

/// The request of a client.
#[derive(Clone, Debug)]
struct Client {
    url: String,
    subprotocols: Vec<String>,
    headers: Vec<(String, String)>,
    seed: [u8; 32],
}

/// The settings of a server.
#[derive(Clone, Debug)]
struct Server {
    supported: Vec<String>,
    headers: Vec<(String, String)>,
    origin: OriginPolicy,
    max_head_size: usize,
    max_headers: usize,
}

fn token() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-d]", 1 => "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}"]
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let known = prop::sample::select(vec!["Origin".to_owned(), "Host".to_owned()]);
    let name = prop_oneof![3 => "X-[A-Za-z]{1,5}", 2 => known, 1 => "[A-Za-z :]{0,5}"];
    let value = prop_oneof![
        3 => "[ -~]{0,20}", 1 => "\\PC{0,10}", 1 => any::<String>(), 1 => Just("http://host".to_owned()),
        1 => Just("http://elsewhere".to_owned()),
    ];
    vec((name, value), 0..4)
}

fn client() -> impl Strategy<Value = Client> {
    let authority =
        prop::sample::select(vec!["ws://host", "wss://host:8080", "ws://[::1]:9", "ws://a:b@host"]);
    let url = (authority, "(/[ -\"$-~]{0,20})?").prop_map(|(authority, path)| authority.to_owned() + &path);
    (url, vec(token(), 0..4), headers(), any::<[u8; 32]>())
        .prop_map(|(url, subprotocols, headers, seed)| Client { url, subprotocols, headers, seed })
}

fn server() -> impl Strategy<Value = Server> {
    let origin = prop_oneof![
        Just(OriginPolicy::SameHost),
        Just(OriginPolicy::Any),
        Just(OriginPolicy::OneOf(vec!["http://elsewhere".to_owned()])),
    ];
    let sizes =
        (prop_oneof![3 => Just(16 << 10), 1 => 0..600_usize], prop_oneof![3 => Just(64), 1 => 0..12_usize]);
    (vec(token(), 0..4), headers(), origin, sizes).prop_map(
        |(supported, headers, origin, (max_head_size, max_headers))| Server {
            supported,
            headers,
            origin,
            max_head_size,
            max_headers,
        },
    )
}

/// Starts the client's handshake, if its request can be sent.
fn begin(client: &Client) -> Result<client::Handshake, HandshakeError> {
    let request = client::Request::new(client.url.parse().unwrap());
    let request = client.subprotocols.iter().fold(request, |request, name| request.subprotocol(name));
    let request = client.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    client::Handshake::new(
        &request,
        &HandshakeConfig::default(),
        Arc::new(Config::default()),
        client.seed,
        Timestamp::ZERO,
    )
}

/// Returns the server's answer, and its connection if it accepts.
fn answer(server: &Server, request: &[u8], sizes: &[usize]) -> (Result<Connection, HandshakeError>, Vec<u8>) {
    let mut limits = HandshakeConfig::default();
    limits.max_head_size = server.max_head_size;
    limits.max_headers = server.max_headers;
    let result = ask(&limits, request, sizes).and_then(|asked| {
        let (request, rest) = asked.expect("a client's request is whole");
        assert_eq!(rest, b"");
        let upgrade = request.upgrade(&server.origin)?;
        let chosen = upgrade.choose_subprotocol(server.supported.iter().map(String::as_str));
        let accept =
            chosen.map_or_else(server::Accept::new, |chosen| server::Accept::new().subprotocol(chosen));
        let accept = server.headers.iter().fold(accept, |accept, (name, value)| accept.header(name, value));
        upgrade.accept(&accept, Arc::default(), Timestamp::ZERO)
    });
    match result {
        Ok(mut connection) => {
            let response = written(&mut connection);
            (Ok(connection), response)
        }
        Err(error) => {
            let response = error.response().to_bytes();
            (Err(error), response)
        }
    }
}

/// Passes these bytes to a client in pieces, and then the end of the stream.
fn conclude(
    handshake: &mut client::Handshake,
    bytes: &[u8],
    sizes: &[usize],
) -> Result<Connection, HandshakeError> {
    for piece in pieces(bytes, sizes) {
        let mut piece = piece.to_vec();
        if let Some((connection, _)) = handshake.receive(&mut &mut piece[..])? {
            return Ok(connection);
        }
    }
    Err(handshake.receive_eof())
}

proptest! {
    #![proptest_config(cases(600))]

    // Invariant: both ends open the same connection, with the same subprotocol, or both fail for the same reason.
    #[test]
    fn any_client_and_any_server_agree_or_both_fail(
        client in client(),
        server in server(),
        sizes in [strategies::cuts(), strategies::cuts()],
    ) {
        let Ok(mut handshake) = begin(&client) else {
            // A request that cannot be sent is never sent.
            return Ok(());
        };
        let request = drained(&mut handshake.transmit());
        let (accepted, response) = answer(&server, &request, &sizes[0]);
        let opened = conclude(&mut handshake, &response, &sizes[1]);
        match (accepted, opened) {
            (Ok(mut accepted), Ok(mut opened)) => {
                prop_assert_eq!((accepted.role(), opened.role()), (Role::Server, Role::Client));
                prop_assert_eq!(accepted.subprotocol(), opened.subprotocol());
                let expected = server.supported.iter().find(|name| client.subprotocols.contains(name));
                prop_assert_eq!(opened.subprotocol(), expected.map(String::as_str));
                assert_talk(&mut opened, &mut accepted);
            }
            (Err(reason), Err(HandshakeError::Refused(response))) => {
                prop_assert_eq!(response.status(), reason.status());
                let wanted = reason.response();
                prop_assert_eq!(response.body_bytes(), wanted.body_bytes());
            }
            (accepted, opened) => prop_assert!(false, "{:?}, but {:?}", accepted, opened),
        }
    }
}

/// Creates bytes that are nearly a head: lines are doubled, dropped and swapped, and bytes are changed.
fn nearly(head: fn() -> Head) -> impl Strategy<Value = Vec<u8>> {
    let odd = prop::sample::select(vec![
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        ":",
        ",",
        "=",
        "\0",
        "\u{80}",
        "HTTP/1.1",
        "Host: a\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\n",
        "Content-Length: 7\r\n",
        "Transfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
        "\r\n\r\n",
        "HTTP/1.1 100 a\r\n\r\n",
        "Sec-WebSocket-Protocol: ,\r\n",
        "%",
        "://",
        "?",
        "403",
    ]);
    let edit = (any::<Index>(), 0..12_usize, prop_oneof![1 => Just(""), 3 => odd]);
    (vec(edit, 0..4), vec(any::<u8>(), 0..20)).prop_map(move |(edits, behind)| {
        let mut bytes = head().bytes();
        for (at, removed, inserted) in edits {
            let start = at.index(bytes.len() + 1);
            let end = bytes.len().min(start + removed);
            bytes.splice(start..end, inserted.bytes());
        }
        [bytes, behind].concat()
    })
}

fn refusing() -> Head {
    Head::new(["HTTP/1.1 403 Forbidden", "Content-Length: 10", "X-Why: because", "Content-Type: text/plain"])
}

/// Returns the result of a server for any bytes, as text.
fn server_verdict(bytes: &[u8], sizes: &[usize]) -> String {
    let config = Arc::new(Config::default());
    match ask(&HandshakeConfig::default(), bytes, sizes) {
        Ok(None) => "more".to_owned(),
        Ok(Some((request, rest))) => {
            let upgrade = request.upgrade(&OriginPolicy::default());
            let answer = upgrade
                .and_then(|upgrade| upgrade.accept(&server::Accept::new(), config.clone(), Timestamp::ZERO));
            let answer = answer.map(|mut connection| written(&mut connection));
            let subprotocols: Vec<_> = request.subprotocols().collect();
            format!("{request:?} {subprotocols:?} {answer:?} {rest:?}")
        }
        Err(error) => format!("{error:?} {error} {:?}", error.response().to_bytes()),
    }
}

/// Returns the result of a client for any bytes, as text.
fn client_verdict(bytes: &[u8], sizes: &[usize]) -> String {
    match conclude(&mut start(&client_request()), bytes, sizes) {
        Ok(connection) => format!("{:?}", connection.subprotocol()),
        Err(error) => format!("{error:?} {error}"),
    }
}

proptest! {
    #![proptest_config(cases(1500))]

    // Invariant: a server does not panic, and its result does not depend on how the bytes are split.
    #[test]
    fn whatever_a_server_receives_it_says_the_same_however_it_is_cut(
        bytes in prop_oneof![5 => nearly(Head::request), 1 => vec(any::<u8>(), 0..100)],
        sizes in strategies::cuts(),
    ) {
        let whole = server_verdict(&bytes, &[usize::MAX]);
        prop_assert_eq!(server_verdict(&bytes, &sizes), &whole[..]);
        prop_assert_eq!(server_verdict(&bytes, &[1]), whole);
    }

    // Invariant: a client does not panic, and its result does not depend on how the bytes are split.
    #[test]
    fn whatever_a_client_receives_it_says_the_same_however_it_is_cut(
        bytes in prop_oneof![
            3 => nearly(opening),
            3 => nearly(refusing),
            1 => vec(any::<u8>(), 0..100),
        ],
        sizes in strategies::cuts(),
    ) {
        let whole = client_verdict(&bytes, &[usize::MAX]);
        prop_assert_eq!(client_verdict(&bytes, &sizes), &whole[..]);
        prop_assert_eq!(client_verdict(&bytes, &[1]), whole);
    }

    // Invariant: no call order makes a client's handshake panic.
    #[test]
    fn a_client_survives_calls_in_any_order(
        calls in vec((0..4_u8, nearly(opening), 0..20_u64), 0..8),
    ) {
        let mut handshake = start(&client_request());
        for (call, mut bytes, second) in calls {
            match call {
                0 | 1 => drop(handshake.receive(&mut &mut bytes[..])),
                2 => drop(handshake.receive_eof()),
                _ => drop(handshake.handle_timeout(crate::support::at(second))),
            }
        }
        prop_assert!(handshake.poll_timeout().is_some());
    }
}
