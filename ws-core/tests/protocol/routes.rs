//! Routes: the paths that patterns match, the values of their parameters, and the cost of a lookup.

use allocation_counter::measure;
use ws_core::{PathRouter, RouteError};

fn routes(patterns: &[&'static str]) -> PathRouter<&'static str> {
    let mut routes = PathRouter::new();
    for pattern in patterns {
        routes.insert(pattern, *pattern).expect("a legal pattern");
    }
    routes
}

/// Returns the pattern that matches a path, and the values of its parameters.
fn found<'r>(routes: &PathRouter<&'r str>, path: &str) -> Option<(&'r str, Vec<String>)> {
    let (pattern, parameters) = routes.find(path)?;
    Some((pattern, parameters.iter().map(|(_, value)| value.to_owned()).collect()))
}

#[test]
fn no_name_is_filled_with_nothing() {
    let routes = routes(&["/rooms/:room", "/rooms/:room/:user", "/files/*path", "/any/*"]);
    for path in ["/rooms/", "/rooms//", "/rooms//ann", "/rooms/lobby/", "/files/", "/rooms", "/files", "/any"]
    {
        assert_eq!(found(&routes, path), None, "{path}");
    }
    for (path, pattern, values) in [
        ("/rooms/lobby", "/rooms/:room", &["lobby"][..]),
        ("/rooms/lobby/ann", "/rooms/:room/:user", &["lobby", "ann"]),
        ("/rooms/%20", "/rooms/:room", &[" "]),
        ("/files/a", "/files/*path", &["a"]),
        ("/files//", "/files/*path", &["/"]),
        // An unnamed wildcard matches any rest.
        ("/any/", "/any/*", &[""]),
        ("/any/a/b", "/any/*", &["a/b"]),
    ] {
        assert_eq!(found(&routes, path), Some((pattern, values.iter().map(|&v| v.to_owned()).collect())));
    }
}

#[test]
fn a_name_that_is_there_twice_is_refused_whatever_it_names() {
    for pattern in ["/:a/*a", "/:a/:a", "/:a/b/:a", "/:*/*", "/:*", "/**", "/:a:", "/:", "/*/b", "/*a/b"] {
        let error = PathRouter::new().insert(pattern, ()).unwrap_err();
        assert_eq!(error, RouteError::Malformed(pattern.into()));
    }
    for pattern in ["/:a/*b", "/:a/:b/*", "/a:b/*", "/a*/:b", "/"] {
        assert_eq!(PathRouter::new().insert(pattern, ()), Ok(()), "{pattern}");
    }
}

#[test]
fn routes_that_match_the_same_paths_are_refused_whatever_their_names() {
    for (one, other) in [("/a/*x", "/a/*y"), ("/*", "/*rest"), ("/:a/b", "/:c/b"), ("/caf%C3%A9", "/café")] {
        let mut routes = routes(&[one]);
        assert_eq!(routes.insert(other, other), Err(RouteError::Duplicate(other.into())));
    }
}

/// Returns the maximum number of bytes that a lookup of a path allocates.
fn cost(routes: &PathRouter<&str>, path: &str) -> u64 {
    measure(|| drop(routes.find(path))).bytes_max
}

#[test]
fn a_path_of_many_slashes_costs_no_more_than_its_bytes() {
    let slashes = "/".repeat(16_000);
    let few = routes(&["/", "/echo", "/rooms/:room", "/a/:b/c/:d"]);
    assert!(few.find(&slashes).is_none());
    assert!(cost(&few, &slashes) <= 1024, "{} bytes", cost(&few, &slashes));
    let all = routes(&["/echo", "/rooms/:room", "/*rest"]);
    assert_eq!(found(&all, &slashes), Some(("/*rest", vec![slashes[1..].to_owned()])));
    assert!(cost(&all, &slashes) <= 16_000 + 1024, "{} bytes", cost(&all, &slashes));
}

#[test]
fn a_long_segment_is_copied_only_for_the_route_that_matches() {
    let mut routes = PathRouter::new();
    for number in 0..1000 {
        routes.insert(&format!("/:user/{number}"), "no match").expect("a legal pattern");
    }
    routes.insert("/:user/here", "match").expect("a legal pattern");
    let path = format!("/{}/here", "x".repeat(16_000));
    let total = measure(|| assert_eq!(routes.find(&path).expect("a route").0, &"match")).bytes_total;
    assert!(total <= 16_000 + 1024, "{total} bytes");
    let path = format!("/{}/nowhere", "x".repeat(16_000));
    let total = measure(|| assert!(routes.find(&path).is_none())).bytes_total;
    assert!(total <= 1024, "{total} bytes");
}
