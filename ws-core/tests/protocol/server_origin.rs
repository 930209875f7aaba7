//! Origin check: the pages that may open a WebSocket (RFC 6455 section 10.2): `Origin`, `Host`, scheme and port.

use ws_core::{HandshakeError, OriginPolicy, Scheme, server::Accept};

use crate::support::{
    config,
    http::{Head, ask, serve_with},
    limits,
};

/// Checks a request with these headers against a policy.
fn passes(policy: &OriginPolicy, host: &str, origins: &[&[u8]]) -> Result<(), HandshakeError> {
    let lines = origins.iter().map(|origin| [b"Origin: ", *origin].concat());
    let head = lines.fold(Head::request().set("Host", host), Head::with);
    serve_with(&config(|_| {}), policy, &head.bytes(), &Accept::new()).map(drop)
}

#[test]
fn by_default_pages_of_the_same_host_may_connect_and_no_others() {
    let policy = OriginPolicy::default();
    assert_eq!(policy, OriginPolicy::SameHost);
    for (host, origin, allowed) in [
        ("example.com", "http://example.com", true),
        ("example.com", "https://example.com", true),
        ("EXAMPLE.com", "https://example.COM", true),
        ("example.com:80", "http://example.com", true),
        ("example.com:443", "https://example.com", true),
        ("example.com:8080", "http://example.com:8080", true),
        ("[::1]:9001", "http://[::1]:9001", true),
        ("example.com", "http://evil.example", false),
        ("example.com", "http://example.com.evil.example", false),
        ("example.com", "http://evil.example/example.com", false),
        ("example.com", "http://evilexample.com", false),
        ("example.com", "http://sub.example.com", false),
        ("example.com:8080", "http://example.com", false),
        ("example.com", "http://example.com:8080", false),
        ("example.com:443", "http://example.com", false),
        ("example.com", "http://example.com@evil.example", false),
        ("example.com", "null", false),
        ("example.com", "example.com", false),
        ("example.com", "file://", false),
        ("example.com", "", false),
    ] {
        let result = passes(&policy, host, &[origin.as_bytes()]);
        assert_eq!(result.is_ok(), allowed, "{origin} at {host}");
        let refused = HandshakeError::OriginRefused { origin: origin.into(), target: host.into() };
        assert!(allowed || result == Err(refused), "{origin} at {host}");
    }
}

#[test]
fn a_refused_origin_is_named_with_the_host_and_the_option_that_allows_it() {
    for (policy, host, origin, said) in [
        (OriginPolicy::SameHost, "example.com:8080", "http://evil.example", "\"example.com:8080\""),
        (
            OriginPolicy::SameOrigin(Scheme::Https),
            "example.com",
            "http://example.com",
            "\"https://example.com\"",
        ),
        (OriginPolicy::OneOf(vec![]), "example.com", "null", "\"example.com\""),
    ] {
        let error = passes(&policy, host, &[origin.as_bytes()]).unwrap_err();
        let response = error.response();
        assert_eq!((error.status(), response.status()), (403, 403));
        let body = String::from_utf8(response.body_bytes().to_vec()).unwrap();
        for part in [&format!("{origin:?}"), said, "OriginPolicy::OneOf", "OriginPolicy::SameOrigin", "proxy"]
        {
            assert!(body.contains(part), "{body:?} does not contain {part:?}");
        }
    }
    let long = format!("http://{}\u{202E}\"<b>", "x".repeat(10_000));
    let error = passes(&OriginPolicy::SameHost, &"h".repeat(4000), &[long.as_bytes()]).unwrap_err();
    assert!(error.to_string().len() < 700 && !error.to_string().contains('\u{202E}'), "{error}");
}

#[test]
fn over_tls_only_pages_that_came_by_tls_may_connect_by_default() {
    for (origin, allowed) in [
        ("https://example.com", true),
        ("https://EXAMPLE.com:443", true),
        ("http://example.com", false),
        ("http://example.com:443", false),
        ("https://example.com:8443", false),
    ] {
        let head = Head::request().set("Host", "example.com").with(format!("Origin: {origin}"));
        let (mut request, _) = ask(&limits(|_| {}), &head.bytes(), &[1]).unwrap().unwrap();
        assert!(request.upgrade(&OriginPolicy::OneOf(vec![origin.to_owned()])).is_ok());
        request.set_scheme(Scheme::Https);
        let result = request.upgrade(&OriginPolicy::SameHost);
        assert_eq!(result.is_ok(), allowed, "{origin}");
        let target = "https://example.com".into();
        let refused = HandshakeError::OriginRefused { origin: origin.into(), target };
        assert_eq!(result.err(), (!allowed).then_some(refused));
    }
}

#[test]
fn a_request_without_an_origin_comes_from_no_page_and_passes() {
    let listed = OriginPolicy::OneOf(vec!["https://app.example".to_owned()]);
    for policy in [OriginPolicy::SameHost, OriginPolicy::Any, listed, OriginPolicy::OneOf(Vec::new())] {
        assert_eq!(passes(&policy, "example.com", &[]), Ok(()));
    }
}

#[test]
fn a_list_of_origins_allows_what_it_names() {
    let policy =
        OriginPolicy::OneOf(vec!["https://app.example".to_owned(), "http://localhost:3000".to_owned()]);
    for (origin, allowed) in [
        ("https://app.example", true),
        ("https://APP.example:443", true),
        ("http://localhost:3000", true),
        ("http://app.example", false),
        ("https://app.example:3000", false),
        ("http://localhost", false),
        ("https://example.com", false),
        ("null", false),
    ] {
        let result = passes(&policy, "example.com", &[origin.as_bytes()]);
        assert_eq!(result.err().map(|error| error.status()), (!allowed).then_some(403), "{origin}");
    }
}

#[test]
fn any_page_may_connect_where_the_policy_says_so() {
    for origin in ["https://example.com", "http://evil.example", "null", "nonsense"] {
        assert_eq!(passes(&OriginPolicy::Any, "example.com", &[origin.as_bytes()]), Ok(()));
    }
}

#[test]
fn two_origins_or_one_that_is_no_text_are_refused() {
    for policy in [OriginPolicy::SameHost, OriginPolicy::OneOf(vec!["http://example.com".to_owned()])] {
        let same = &b"http://example.com"[..];
        let duplicate = HandshakeError::DuplicateHeader("Origin");
        assert_eq!(passes(&policy, "example.com", &[same, same]), Err(duplicate.clone()));
        assert_eq!(passes(&policy, "example.com", &[same, b"http://evil.example"]), Err(duplicate));
        let invalid = HandshakeError::InvalidHeader("Origin");
        assert_eq!(passes(&policy, "example.com", &[b"http://example.com\xFF"]), Err(invalid));
    }
}
