//! Clients behind proxies: the headers of trusted proxies, and the PROXY protocol.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Buf as _;
use proptest::{collection::vec, option, prelude::*, sample::select};
use ws_core::{
    ForwardedHeaders, HandshakeConfig, HandshakeError, OriginPolicy, Scheme, Timestamp, TrustedProxies,
    server::{Accept, Handshake, ProxyHeader, ProxyHeaderReader, Request, RouteOptions, RouterBuilder},
};

fn request(peer: IpAddr, headers: &[String]) -> Request {
    let head = format!(
        "GET / HTTP/1.1\r\nHost: inner\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{}\r\n",
        headers.iter().map(|header| format!("{header}\r\n")).collect::<String>()
    );
    let mut handshake = Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
    let mut request = handshake.receive(&mut &mut head.into_bytes()[..]).unwrap().unwrap();
    request.set_peer_addr(Some(SocketAddr::new(peer, 4711)));
    request
}

/// Trusts 10.0.0.0/8 and fd00::/8.
fn proxies() -> TrustedProxies {
    TrustedProxies::new().network("10.0.0.0/8").unwrap().network("fd00::/8").unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Returns the client's address and the host after the headers of proxies were applied.
fn applied(
    kind: ForwardedHeaders,
    peer: &str,
    headers: &[&str],
) -> Result<(Option<SocketAddr>, String), HandshakeError> {
    let headers: Vec<_> = headers.iter().map(|&header| header.to_owned()).collect();
    let mut request = request(ip(peer), &headers);
    request.apply_forwarded(kind, &proxies())?;
    Ok((request.peer_addr(), request.header("Host").unwrap().to_owned()))
}

#[test]
fn headers_of_other_addresses_and_of_the_other_kind_have_no_effect() {
    use ForwardedHeaders::{Forwarded, XForwarded};
    let (forwarded, x_forwarded) =
        ("Forwarded: for=192.0.2.9;proto=https;host=evil", "X-Forwarded-For: 192.0.2.9");
    for (kind, peer, header) in [
        (Forwarded, "192.0.2.1", forwarded),
        (XForwarded, "192.0.2.1", x_forwarded),
        (Forwarded, "10.0.0.1", x_forwarded),
        (XForwarded, "10.0.0.1", forwarded),
        (XForwarded, "192.0.2.1", "X-Forwarded-For: \u{fc}"),
    ] {
        let unchanged = (Some(SocketAddr::new(ip(peer), 4711)), "inner".to_owned());
        assert_eq!(applied(kind, peer, &[header]), Ok(unchanged), "{kind:?} {header}");
    }
}

#[test]
fn nodes_are_addresses_with_or_without_port_or_unknown() {
    for (node, expected) in [
        ("192.0.2.1", Some("192.0.2.1:0")),
        ("192.0.2.1:80", Some("192.0.2.1:80")),
        ("192.0.2.1:_hidden", Some("192.0.2.1:0")),
        ("[2001:db8::1]", Some("[2001:db8::1]:0")),
        ("[2001:db8::1]:443", Some("[2001:db8::1]:443")),
        ("[::ffff:192.0.2.1]:1", Some("192.0.2.1:1")),
        ("unknown", None),
        ("UNKNOWN", None),
        ("_secret", None),
        ("_secret:80", None),
    ] {
        let expected = expected.map(|text| text.parse().unwrap());
        for (kind, header) in [
            (ForwardedHeaders::Forwarded, format!("Forwarded: for=\"{node}\"")),
            (ForwardedHeaders::Forwarded, format!("forwarded: FOR={node} ; by=_me")),
            (ForwardedHeaders::XForwarded, format!("X-Forwarded-For: {node}")),
        ] {
            let (address, _) = applied(kind, "10.0.0.1", &[&header]).unwrap();
            assert_eq!(address, expected, "{header}");
        }
    }
    let (address, _) =
        applied(ForwardedHeaders::XForwarded, "10.0.0.1", &["X-Forwarded-For: 2001:db8::1"]).unwrap();
    assert_eq!(address, Some("[2001:db8::1]:0".parse().unwrap()));
}

#[test]
fn malformed_headers_of_trusted_proxies_are_refused() {
    for (header, name) in [
        ("Forwarded: for=\"192.0.2.1", "Forwarded"),
        ("Forwarded: for", "Forwarded"),
        ("Forwarded: for=1.2.3.4;for=1.2.3.4", "Forwarded"),
        ("Forwarded: for=1.2.3", "Forwarded"),
        ("Forwarded: for=1.2.3.4;proto=ftp", "Forwarded"),
        ("Forwarded: for=1.2.3.4;host=\"a b\"", "Forwarded"),
        ("Forwarded: for=\"1.2.3.4\"x", "Forwarded"),
        ("Forwarded: for=\"[::1\"", "Forwarded"),
        ("Forwarded: for=\"[::1]80\"", "Forwarded"),
        ("Forwarded: for=\"1.2.3.4:99999\"", "Forwarded"),
        ("X-Forwarded-For: 1.2.3.4:", "X-Forwarded-For"),
        ("X-Forwarded-For: example.com", "X-Forwarded-For"),
        ("X-Forwarded-Proto: gopher", "X-Forwarded-Proto"),
        ("X-Forwarded-Host: a/b", "X-Forwarded-Host"),
    ] {
        let kind =
            if name == "Forwarded" { ForwardedHeaders::Forwarded } else { ForwardedHeaders::XForwarded };
        assert_eq!(
            applied(kind, "10.0.0.1", &[header]),
            Err(HandshakeError::InvalidHeader(name)),
            "{header}"
        );
    }
}

#[test]
fn the_origin_check_uses_the_host_and_the_scheme_of_the_proxy() {
    for (kind, header) in [
        (ForwardedHeaders::Forwarded, "Forwarded: for=192.0.2.1;proto=https;host=\"example.com:8443\""),
        (
            ForwardedHeaders::XForwarded,
            "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: example.com:8443",
        ),
    ] {
        for (origin, allowed) in
            [("https://example.com:8443", true), ("http://example.com:8443", false), ("https://inner", false)]
        {
            let mut request = request(ip("10.0.0.1"), &[header.to_owned(), format!("Origin: {origin}")]);
            request.apply_forwarded(kind, &proxies()).unwrap();
            assert_eq!(request.upgrade(&OriginPolicy::SameHost).is_ok(), allowed, "{header} {origin}");
        }
    }
}

#[test]
fn the_check_of_a_router_sees_what_trusted_proxies_report() {
    let mut router = RouterBuilder::new();
    router.trust_forwarded(ForwardedHeaders::Forwarded, proxies());
    router.check(|request| {
        assert_eq!(request.peer_addr().map(|address| address.ip()), Some(ip("192.0.2.9")));
        assert_eq!((request.header("Host"), request.scheme()), (Some("outer"), Scheme::Https));
        Ok(Accept::new())
    });
    router.error_page(|_, response| response.header("X-Page", "1"));
    router.route("/", RouteOptions::default(), ());
    let router = router.build().unwrap();
    let header = "Forwarded: for=192.0.2.9;host=outer;proto=https".to_owned();
    router.handle(&mut request(ip("10.0.0.1"), &[header])).unwrap();
    // The error of a malformed header passes the error page, as every refusal.
    let refused = router.handle(&mut request(ip("10.0.0.1"), &["Forwarded: ?".to_owned()])).unwrap_err();
    let response = String::from_utf8_lossy(refused.response.chunk()).into_owned();
    assert!(response.starts_with("HTTP/1.1 400 ") && response.contains("X-Page: 1"), "{response}");
}

#[test]
fn networks_contain_the_addresses_with_their_prefix() {
    let contains =
        |network: &str, address: &str| TrustedProxies::new().network(network).unwrap().contains(ip(address));
    for (network, inside, outside) in [
        ("10.1.0.0/16", "10.1.255.255", "10.2.0.0"),
        ("10.1.2.3/16", "10.1.0.0", "10.0.255.255"),
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("192.0.2.128/25", "::ffff:192.0.2.200", "192.0.2.127"),
        ("2001:db8::/32", "2001:db8:ffff::", "2001:db9::"),
        ("::1", "::1", "::2"),
    ] {
        assert!(contains(network, inside) && !contains(network, outside), "{network}");
    }
    assert!(contains("0.0.0.0/0", "255.1.2.3") && !contains("0.0.0.0/0", "::1"));
    assert!(contains("::/0", "fe80::1"));
    for network in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10.0.0/8", "::/129", "a", "10.0.0.0/8/8"]
    {
        assert!(TrustedProxies::new().network(network).is_err(), "{network}");
    }
    assert!(!TrustedProxies::new().contains_peer(None));
    assert!(TrustedProxies::new().unix_sockets().contains_peer(None));
    assert!(TrustedProxies::new().matching(|address| address.is_loopback()).contains(ip("127.1.2.3")));
}

/// One hop of a chain: a peer, and the description of its request by the proxy that it reached.
#[derive(Clone, Debug)]
struct Hop {
    peer: IpAddr,
    host: Option<&'static str>,
}

/// The definition: a trusted proxy is believed about its peer, and that peer again if it is trusted.
fn naive(peer: IpAddr, host: &str, chain: &[Hop]) -> (IpAddr, String) {
    match chain.split_last() {
        Some((last, before)) if proxies().contains(peer) => {
            naive(last.peer, last.host.unwrap_or(host), before)
        }
        _ => (peer, host.to_owned()),
    }
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    select(vec!["10.0.0.1", "10.9.9.9", "fd00::7", "192.0.2.1", "198.51.100.7", "2001:db8::1"]).prop_map(ip)
}

proptest! {
    #[test]
    fn a_chain_is_followed_as_far_as_it_is_trusted(
        peer in addresses(),
        chain in vec((addresses(), option::of(select(vec!["a.example", "b.example:8443"]))), 0..6),
        lines in vec(any::<bool>(), 6),
        x_forwarded in any::<bool>(),
    ) {
        // The lists of `X-Forwarded-*` are parallel, so each hop has a host.
        let chain: Vec<_> = chain
            .into_iter()
            .map(|(peer, host)| Hop { peer, host: if x_forwarded { host.or(Some("c.example")) } else { host } })
            .collect();
        let kind = if x_forwarded { ForwardedHeaders::XForwarded } else { ForwardedHeaders::Forwarded };
        let shown = |hop: &Hop| if x_forwarded {
            hop.peer.to_string()
        } else {
            let quoted = if hop.peer.is_ipv6() { format!("\"[{}]\"", hop.peer) } else { hop.peer.to_string() };
            let host = hop.host.map(|host| format!(";host=\"{host}\"")).unwrap_or_default();
            format!("for={quoted}{host}")
        };
        let name = if x_forwarded { "X-Forwarded-For" } else { "Forwarded" };
        let mut headers: Vec<String> = Vec::new();
        for (hop, starts_line) in chain.iter().zip(&lines) {
            match headers.last_mut() {
                Some(line) if !starts_line => { line.push_str(", "); line.push_str(&shown(hop)); }
                _ => headers.push(format!("{name}: {}", shown(hop))),
            }
        }
        if x_forwarded {
            let hosts: Vec<_> = chain.iter().filter_map(|hop| hop.host).collect();
            headers.push(format!("X-Forwarded-Host: {}", hosts.join(",")));
        }
        let mut request = request(peer, &headers);
        request.apply_forwarded(kind, &proxies()).unwrap();
        let found = (request.peer_addr().unwrap().ip(), request.header("Host").unwrap().to_owned());
        prop_assert_eq!(found, naive(peer, "inner", &chain));
    }

    #[test]
    fn no_header_of_a_proxy_causes_a_panic(value in "[ -~\\t]{0,60}", x_forwarded in any::<bool>()) {
        let kind = if x_forwarded { ForwardedHeaders::XForwarded } else { ForwardedHeaders::Forwarded };
        let names = ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"];
        let headers: Vec<_> = names.iter().map(|name| format!("{name}: {value}")).collect();
        let mut request = request(ip("10.0.0.1"), &headers);
        let _ = request.apply_forwarded(kind, &proxies());
    }

    #[test]
    fn a_proxy_header_is_the_same_in_any_pieces(
        header in proxy_headers(),
        behind in vec(any::<u8>(), 0..20),
        cuts in vec(1..9_usize, 1..20),
    ) {
        let (bytes, expected) = header;
        let mut input = [&bytes[..], &behind].concat();
        let mut rest = &mut input[..];
        let mut reader = ProxyHeaderReader::new();
        let mut cuts = cuts.iter().cycle();
        let found = loop {
            let mut piece = rest.split_off_mut(..rest.len().min(*cuts.next().unwrap())).unwrap();
            if let Some(found) = reader.receive(&mut piece).unwrap() {
                prop_assert_eq!([&piece[..], &rest[..]].concat(), behind);
                break found;
            }
            prop_assert!(reader.has_begun() && piece.is_empty());
        };
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_bytes_instead_of_a_proxy_header_cause_a_panic(
        (bytes, _) in proxy_headers(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        behind in vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = [bytes, behind].concat();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let _ = ProxyHeaderReader::new().receive(&mut &mut bytes[..]);
    }
}

/// Returns headers of both versions, encoded independently, and their meaning.
fn proxy_headers() -> impl Strategy<Value = (Vec<u8>, ProxyHeader)> {
    let ends = (any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u16; 2]>(), any::<bool>());
    let encoded = |(source, destination, ports, is_v4): ([u8; 16], [u8; 16], [u16; 2], bool),
                   kind: u8,
                   tlv: Vec<u8>| {
        let address = |bytes: [u8; 16]| match is_v4 {
            true => IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
            false => IpAddr::from(bytes),
        };
        let (source, destination) = (address(source), address(destination));
        let known = ProxyHeader {
            source: Some(SocketAddr::new(source, ports[0])),
            destination: Some(SocketAddr::new(destination, ports[1])),
        };
        if kind == 1 {
            let family = if is_v4 { "TCP4" } else { "TCP6" };
            let line = format!("PROXY {family} {source} {destination} {} {}\r\n", ports[0], ports[1]);
            return (line.into_bytes(), known);
        }
        if kind == 0 {
            return (b"PROXY UNKNOWN some words\r\n".to_vec(), ProxyHeader::default());
        }
        let mut variable = Vec::new();
        for address in [source, destination] {
            match address {
                IpAddr::V4(address) => variable.extend(address.octets()),
                IpAddr::V6(address) => variable.extend(address.octets()),
            }
        }
        variable.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
        variable.extend(tlv);
        let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        bytes.push(if kind == 2 { 0x21 } else { 0x20 });
        bytes.push(if is_v4 { 0x11 } else { 0x21 });
        bytes.extend(u16::try_from(variable.len()).unwrap().to_be_bytes());
        bytes.extend(variable);
        (bytes, if kind == 2 { known } else { ProxyHeader::default() })
    };
    (ends, 0..4_u8, vec(any::<u8>(), 0..50)).prop_map(move |(ends, kind, tlv)| encoded(ends, kind, tlv))
}

#[test]
fn malformed_proxy_headers_are_refused_as_soon_as_possible() {
    let long = format!("PROXY UNKNOWN {}", "a".repeat(93));
    let v2 = |bytes: &[u8]| [b"\r\n\r\n\0\r\nQUIT\n", bytes].concat();
    for bytes in [
        b"G".to_vec(),
        b"PROXZ".to_vec(),
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n".to_vec(),
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 01\r\n".to_vec(),
        b"PROXY TCP4 ::1 ::1 1 1\r\n".to_vec(),
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n".to_vec(),
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n".to_vec(),
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n".to_vec(),
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n".to_vec(),
        b"PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n".to_vec(),
        b"PROXY TCP4 1.2.3.4 \xFF 1 1\r\n".to_vec(),
        long.into_bytes(),
        v2(&[0x11, 0x11, 0, 0]),
        v2(&[0x22, 0x11, 0, 0]),
        v2(&[0x21, 0x11, 0, 1, 7]),
        v2(&[0x21, 0x12, 0, 0]),
        v2(&[0x21, 0x21, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        v2(&[0x21, 0x11, 0x10, 0x01]),
    ] {
        let (last, before) = bytes.split_last().unwrap();
        let mut reader = ProxyHeaderReader::new();
        assert_eq!(reader.receive(&mut &mut before.to_vec()[..]), Ok(None), "{bytes:?}");
        let refused = reader.receive(&mut &mut [*last][..]);
        assert!(matches!(refused, Err(HandshakeError::MalformedProxyHeader(_))), "{bytes:?} {refused:?}");
    }
}
