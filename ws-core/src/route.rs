use alloc::{
    borrow::{Cow, ToOwned},
    string::String,
    vec::Vec,
};
use core::{error::Error, fmt};

use percent_encoding::percent_decode_str;

/// What belongs to which path.
///
/// A pattern is a path whose segments may be names to be filled: `/rooms/:room` matches one segment,
/// `/files/*path` or `/files/*` all that follow. Where several match, the first segment in which they
/// differ decides: a literal before a name before a wildcard. Segments are compared percent-decoded.
///
/// ```
/// use ws_core::Routes;
///
/// let mut routes = Routes::new();
/// routes.insert("/echo", "echo")?;
/// routes.insert("/rooms/:room", "chat")?;
/// routes.insert("/*", "the rest")?;
///
/// let (target, parameters) = routes.find("/rooms/caf%C3%A9").unwrap();
/// assert_eq!((*target, parameters.get("room")), ("chat", Some("café")));
/// assert_eq!(routes.find("/elsewhere/at/all").unwrap().0, &"the rest");
/// # Ok::<(), ws_core::RouteError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Routes<T> {
    /// The most specific first.
    routes: Vec<(Vec<Segment>, T)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal(String),
    Name(String),
    Rest(String),
}

impl Segment {
    const fn rank(&self) -> u8 {
        match self {
            Self::Literal(_) => 0,
            Self::Name(_) => 1,
            Self::Rest(_) => 2,
        }
    }
}

impl<T> Default for Routes<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Routes<T> {
    /// No routes.
    #[must_use]
    pub const fn new() -> Self {
        Self { routes: Vec::new() }
    }

    /// Adds a route.
    ///
    /// # Errors
    ///
    /// The pattern does not begin with a slash, has a wildcard before its last segment, a name twice or a
    /// name without letters; or another route matches just the same paths.
    pub fn insert(&mut self, pattern: &str, target: T) -> Result<(), RouteError> {
        let segments = parse(pattern)?;
        if self.routes.iter().any(|(existing, _)| same_paths(existing, &segments)) {
            return Err(RouteError::Duplicate(pattern.to_owned()));
        }
        let ranks = |segments: &[Segment]| segments.iter().map(Segment::rank).collect::<Vec<_>>();
        let new = ranks(&segments);
        let place = self.routes.partition_point(|(existing, _)| ranks(existing) <= new);
        self.routes.insert(place, (segments, target));
        Ok(())
    }

    /// The route that a path takes, and what fills the names in its pattern.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<(&T, Parameters)> {
        let segments = path.strip_prefix('/')?.split('/').map(decode).collect::<Option<Vec<_>>>()?;
        self.routes.iter().find_map(|(pattern, target)| Some((target, fill(pattern, &segments)?)))
    }

    /// All targets.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.routes.iter_mut().map(|(_, target)| target)
    }
}

/// What fills the names in a route's pattern, percent-decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The value of the name, written without its colon or asterisk; that of a bare `*` is `*`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|&(found, _)| found == name).map(|(_, value)| value)
    }

    /// Names and values in the order of the pattern.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Why a pattern cannot be a route.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteError {
    /// This pattern is malformed.
    Malformed(String),
    /// This pattern matches just the same paths as one before it.
    Duplicate(String),
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(pattern) => write!(
                f,
                "{pattern:?} is no route: write a path such as \"/rooms/:room\" or \"/files/*path\", with each name \
                 once and a wildcard only at the end"
            ),
            Self::Duplicate(pattern) => {
                write!(f, "the route {pattern:?} matches the same paths as an earlier one")
            }
        }
    }
}

impl Error for RouteError {}

fn parse(pattern: &str) -> Result<Vec<Segment>, RouteError> {
    let malformed = || RouteError::Malformed(pattern.to_owned());
    let mut names: Vec<&str> = Vec::new();
    let mut segments = Vec::new();
    for part in pattern.strip_prefix('/').ok_or_else(malformed)?.split('/') {
        let segment = match (part.strip_prefix(':'), part.strip_prefix('*')) {
            (Some(""), _) => return Err(malformed()),
            (Some(name), _) => Segment::Name(name.to_owned()),
            (_, Some(name)) => Segment::Rest(if name.is_empty() { "*" } else { name }.to_owned()),
            _ => Segment::Literal(decode(part).ok_or_else(malformed)?.into_owned()),
        };
        let after_rest = matches!(segments.last(), Some(Segment::Rest(_)));
        if after_rest || (segment.rank() > 0 && names.contains(&part)) {
            return Err(malformed());
        }
        names.push(part);
        segments.push(segment);
    }
    Ok(segments)
}

fn same_paths(a: &[Segment], b: &[Segment]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.rank() == b.rank() && (a.rank() > 0 || a == b))
}

fn fill(pattern: &[Segment], path: &[Cow<'_, str>]) -> Option<Parameters> {
    let mut parameters = Vec::new();
    let mut rest = path;
    for segment in pattern {
        let (first, others) = rest.split_first()?;
        match segment {
            Segment::Literal(literal) if literal == first => {}
            Segment::Literal(_) => return None,
            Segment::Name(name) => parameters.push((name.clone(), first.clone().into_owned())),
            Segment::Rest(name) => {
                parameters.push((name.clone(), rest.join("/")));
                return Some(Parameters(parameters));
            }
        }
        rest = others;
    }
    rest.is_empty().then_some(Parameters(parameters))
}

fn decode(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_route_wins_whatever_the_order() {
        let patterns = ["/*", "/:a", "/echo", "/:a/x", "/echo/*rest", "/echo/:b", "/"];
        for turn in 0..patterns.len() {
            let mut routes = Routes::new();
            for at in 0..patterns.len() {
                let pattern = patterns[(at + turn) % patterns.len()];
                routes.insert(pattern, pattern).unwrap();
            }
            for (path, expected) in [
                ("/", "/"),
                ("/echo", "/echo"),
                ("/ech%6F", "/echo"),
                ("/other", "/:a"),
                ("/other/x", "/:a/x"),
                ("/echo/x", "/echo/:b"),
                ("/echo/", "/echo/:b"),
                ("/echo/x/y", "/echo/*rest"),
                ("/other/y", "/*"),
            ] {
                assert_eq!(routes.find(path).unwrap().0, &expected, "{path}");
            }
        }
    }

    #[test]
    fn names_are_filled_percent_decoded() {
        let mut routes = Routes::new();
        routes.insert("/a/:one/b/*two", ()).unwrap();
        let (_, parameters) = routes.find("/a/%C3%BC%2F/b/c/d").unwrap();
        let found: Vec<_> = parameters.iter().collect();
        assert_eq!(found, [("one", "ü/"), ("two", "c/d")]);
    }

    #[test]
    fn a_path_that_is_not_utf8_finds_nothing() {
        let mut routes = Routes::new();
        routes.insert("/*", ()).unwrap();
        assert!(routes.find("/%FF").is_none());
    }

    #[test]
    fn malformed_and_duplicate_patterns_are_refused() {
        let mut routes = Routes::new();
        routes.insert("/a/:b", ()).unwrap();
        for pattern in ["", "a", "/:", "/*/a", "/*a/*b", "/:a/:a"] {
            assert!(matches!(routes.insert(pattern, ()), Err(RouteError::Malformed(_))), "{pattern}");
        }
        assert!(matches!(routes.insert("/a/:c", ()), Err(RouteError::Duplicate(_))));
    }
}
