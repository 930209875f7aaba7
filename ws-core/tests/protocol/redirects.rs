//! Redirects of a client: the next request, the limits, and the credentials (RFC 9110 section 15.4).

use proptest::{collection::vec, prelude::*};
use ws_core::{
    HandshakeError, RedirectProblem, Response, Url, UrlError,
    client::{Redirects, Request},
};

use crate::support::{cases, http::encoded};

fn request(url: &str) -> Request {
    Request::new(url.parse().expect("a URL"))
}

fn redirect(status: u16, location: &str) -> HandshakeError {
    HandshakeError::Refused(Box::new(Response::new(status).header("Location", location)))
}

fn follow(request: &Request, error: HandshakeError) -> Result<Request, HandshakeError> {
    Redirects::new(Redirects::MAX).follow(request, error)
}

fn problem(result: Result<Request, HandshakeError>) -> RedirectProblem {
    match result {
        Err(HandshakeError::Redirect { response, problem }) => {
            assert!((300..400).contains(&response.status()), "the last response is in the error");
            problem
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_the_statuses_of_redirects_are_followed() {
    for status in 200..600 {
        let result = follow(&request("ws://a/"), redirect(status, "/b"));
        match status {
            301 | 302 | 303 | 307 | 308 => assert_eq!(result.unwrap().url().to_string(), "ws://a/b"),
            _ => assert!(matches!(result, Err(HandshakeError::Refused(_))), "{status}"),
        }
    }
    let other = follow(&request("ws://a/"), HandshakeError::Eof);
    assert_eq!(other.unwrap_err(), HandshakeError::Eof);
}

#[test]
fn redirects_are_off_by_default_and_limited_to_ten() {
    let refused = Redirects::new(0).follow(&request("ws://a/"), redirect(302, "/b"));
    assert!(matches!(refused, Err(HandshakeError::Refused(_))));
    for (limit, expected) in [(1, 1), (10, 10), (u32::MAX, 10)] {
        let (mut redirects, mut request, mut followed) = (Redirects::new(limit), request("ws://a/"), 0);
        let end = loop {
            match redirects.follow(&request, redirect(307, "/")) {
                Ok(next) => request = next,
                end => break end,
            }
            followed += 1;
        };
        assert_eq!((followed, problem(end)), (expected, RedirectProblem::TooMany { limit: expected }));
    }
}

#[test]
fn encryption_is_never_given_up() {
    for location in ["ws://a/", "http://a/", "ws://b:443/"] {
        let result = follow(&request("wss://a/"), redirect(301, location));
        assert_eq!(problem(result), RedirectProblem::GivesUpTls, "{location}");
    }
    for location in ["//b/", "/c", "https://b/", "wss://b/"] {
        assert!(
            follow(&request("wss://a/"), redirect(301, location)).unwrap().url().is_secure(),
            "{location}"
        );
    }
    assert!(follow(&request("ws://a/"), redirect(301, "https://a/")).unwrap().url().is_secure());
}

#[test]
fn a_location_that_leads_nowhere_is_a_problem() {
    let missing = HandshakeError::Refused(Box::new(Response::new(302)));
    assert_eq!(problem(follow(&request("ws://a/"), missing)), RedirectProblem::MissingLocation);
    let twice = Response::new(302).header("Location", "/b").header("Location", "/c");
    let result = follow(&request("ws://a/"), HandshakeError::Refused(Box::new(twice)));
    assert!(matches!(problem(result), RedirectProblem::InvalidLocation(_)));
    for (location, error) in
        [("mailto:a", UrlError::Scheme), ("ws://", UrlError::Host), ("//b:x/", UrlError::Port)]
    {
        let result = follow(&request("ws://a/"), redirect(302, location));
        assert_eq!(problem(result), RedirectProblem::InvalidLocation(error), "{location}");
    }
}

#[test]
fn the_error_names_the_location_without_its_query() {
    let error = follow(&request("wss://a/"), redirect(302, "ws://b/c?token=hush")).unwrap_err().to_string();
    assert!(error.contains("ws://b/c") && error.contains("302") && !error.contains("hush"), "{error}");
}

/// Headers that belong to one origin only.
const CREDENTIALS: [(&str, &str); 6] = [
    ("Authorization", "Bearer 1"),
    ("Cookie", "session=1"),
    ("Proxy-Authorization", "Basic 1"),
    ("X-Api-Key", "1"),
    ("X-CSRF-Token", "1"),
    ("Host", "front.example"),
];

#[test]
fn credentials_stay_with_their_origin() {
    let with_headers = |url: &str| {
        let request =
            request(url).subprotocol("chat").header("X-Trace", "7").header("Origin", "https://page.example");
        CREDENTIALS.iter().fold(request, |request, (name, value)| request.header(name, value))
    };
    for (from, location, is_same) in [
        ("ws://a/x", "/y", true),
        ("ws://a/x", "ws://A:80/y", true),
        ("wss://a/x", "https://a/y", true),
        ("ws://a/x", "ws://b/x", false),
        ("ws://a/x", "ws://a:81/x", false),
        ("ws://a/x", "wss://a/x", false),
        ("ws://a/x", "ws://sub.a/x", false),
    ] {
        let next = follow(&with_headers(from), redirect(308, location)).unwrap();
        let head = encoded(&next).to_lowercase();
        for (name, value) in CREDENTIALS {
            let line = format!("\r\n{}: {}\r\n", name.to_lowercase(), value.to_lowercase());
            assert_eq!(head.contains(&line), is_same, "{name} from {from} to {location}: {head}");
        }
        for kept in ["x-trace: 7", "origin: https://page.example", "sec-websocket-protocol: chat"] {
            assert!(head.contains(kept), "{kept}: {head}");
        }
    }
    for (location, is_same) in [("/y", true), ("ws://b/", false), ("ws://user:secret@b/", false)] {
        let next = follow(&request("ws://user:secret@a/"), redirect(302, location)).unwrap();
        assert_eq!(encoded(&next).contains("Authorization: Basic"), is_same, "{location}");
    }
}

#[test]
fn cookies_of_a_response_are_names_and_values() {
    let response = ["a=1; Path=/", " b = 2=3 ;Secure", "=no name", "no value", "c=", "a=4"]
        .iter()
        .fold(Response::new(200), |response, cookie| response.header("Set-Cookie", cookie));
    let cookies: Vec<_> = response.cookies().collect();
    assert_eq!(cookies, [("a", "1"), ("b", "2=3"), ("c", ""), ("a", "4")]);
}

proptest! {
    #![proptest_config(cases(1000))]

    // No location causes a panic or an invalid request, the result is a URL that parses to itself, and user and password
    // never reach another origin.
    #[test]
    fn a_server_may_send_any_location(
        parts in vec(prop_oneof![
            Just("/".to_owned()), Just("..".to_owned()), Just(".".to_owned()), Just("//".to_owned()),
            Just("?".to_owned()), Just("#".to_owned()), Just("ws://".to_owned()), Just("https:".to_owned()),
            Just("user:pw@".to_owned()), Just("a".to_owned()), Just("b:81".to_owned()), "\\PC{0,4}",
        ], 0..8),
        is_secure in any::<bool>(),
    ) {
        let scheme = if is_secure { "wss" } else { "ws" };
        let request = request(&format!("{scheme}://user:secret@a/x/y?z"));
        let location = parts.concat();
        if let Ok(next) = follow(&request, redirect(302, &location)) {
            let url = next.url();
            prop_assert!(url.is_secure() || !is_secure);
            let is_same = (url.is_secure(), url.host(), url.port()) == (is_secure, "a", request.url().port());
            let head = encoded(&next);
            prop_assert_eq!(head.contains("Authorization"), is_same, "{}", location);
            prop_assert!(head.starts_with("GET /") && head.ends_with("\r\n\r\n"));
            let shown = url.to_string();
            prop_assert_eq!(shown.parse::<Url>().map(|url| url.to_string()), Ok(shown));
        }
    }
}
