use alloc::{
    borrow::{Cow, ToOwned},
    string::String,
    vec::Vec,
};
use core::{error::Error, fmt};

use percent_encoding::percent_decode_str;

use crate::excerpt::Excerpt;

/// A routing table that maps paths to targets.
///
/// A pattern is a path with segments that may be parameters: `/rooms/:room` matches one segment, `/files/*path` matches
/// all remaining segments. A parameter is never empty: `/rooms/` and `/files/` match only as a literal or by an
/// unnamed wildcard, such as `/files/*`. If several patterns match, the first segment in which they differ decides: a
/// literal takes precedence over a parameter, and a parameter over a wildcard. Segments are compared after
/// percent-decoding.
///
/// ```
/// use ws_core::PathRouter;
///
/// let mut routes = PathRouter::new();
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
pub struct PathRouter<T> {
    /// Routes, the most specific first.
    routes: Vec<(Vec<Segment>, T)>,
    /// Number of segments of the longest pattern.
    longest: usize,
}

/// An unnamed wildcard, and its name among the parameters.
const UNNAMED: &str = "*";

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

impl<T> Default for PathRouter<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> PathRouter<T> {
    /// Creates an empty set of routes.
    #[must_use]
    pub const fn new() -> Self {
        Self { routes: Vec::new(), longest: 0 }
    }

    /// Adds a route.
    ///
    /// # Errors
    ///
    /// - Returns [`RouteError::Malformed`] if the pattern does not begin with a slash, or has a wildcard before its
    ///   last segment. The same error is returned if a name is empty, appears twice (even if one belongs to a
    ///   wildcard) or contains a colon or asterisk.
    /// - Returns [`RouteError::Duplicate`] if another route matches exactly the same paths.
    pub fn insert(&mut self, pattern: &str, target: T) -> Result<(), RouteError> {
        let segments = parse(pattern)?;
        if self.routes.iter().any(|(existing, _)| same_paths(existing, &segments)) {
            return Err(RouteError::Duplicate(pattern.to_owned()));
        }
        let ranks = |segments: &[Segment]| segments.iter().map(Segment::rank).collect::<Vec<_>>();
        let new = ranks(&segments);
        let place = self.routes.partition_point(|(existing, _)| ranks(existing) <= new);
        self.longest = self.longest.max(segments.len());
        self.routes.insert(place, (segments, target));
        Ok(())
    }

    /// Returns the target of the route that matches a path, and the values of the parameters in its pattern.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<(&T, Parameters)> {
        let path = SplitPath::new(path.strip_prefix('/')?, self.longest);
        let (pattern, target) = self.routes.iter().find(|(pattern, _)| path.matches(pattern))?;
        Some((target, path.parameters(pattern)))
    }

    /// Returns the same routes to other targets.
    pub(crate) fn map<U>(self, mut change: impl FnMut(T) -> U) -> PathRouter<U> {
        let routes = self.routes.into_iter().map(|(pattern, target)| (pattern, change(target)));
        PathRouter { routes: routes.collect(), longest: self.longest }
    }

    /// Returns all targets.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.routes.iter_mut().map(|(_, target)| target)
    }
}

/// The percent-decoded values of the parameters in a route's pattern.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Returns the value of the parameter with this name, without its colon or asterisk. The name of an unnamed
    /// wildcard is `*`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|&(found, _)| found == name).map(|(_, value)| value)
    }

    /// Returns names and values in the order of the pattern.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, Excerpt(value.as_bytes())))).finish()
    }
}

/// The reason why a router cannot be built, such as a pattern that cannot be a route.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteError {
    /// This pattern is malformed.
    Malformed(String),
    /// This pattern matches exactly the same paths as an earlier one.
    Duplicate(String),
    /// The header of this name cannot be a header of all responses.
    InvalidHeader(String),
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(pattern) => write!(
                f,
                "{pattern:?} is not a valid route: write a path such as \"/rooms/:room\" or \"/files/*path\", with each name \
                 once and a wildcard only at the end"
            ),
            Self::Duplicate(pattern) => {
                write!(f, "the route {pattern:?} matches the same paths as an earlier one")
            }
            Self::InvalidHeader(name) => write!(
                f,
                "the default header {name:?} cannot be sent: its name has to be a token that does not belong to the \
                 handshake, and its value must not contain control characters"
            ),
        }
    }
}

impl Error for RouteError {}

fn parse(pattern: &str) -> Result<Vec<Segment>, RouteError> {
    let malformed = || RouteError::Malformed(pattern.to_owned());
    let mut names: Vec<&str> = Vec::new();
    let mut segments = Vec::new();
    for part in pattern.strip_prefix('/').ok_or_else(malformed)?.split('/') {
        if matches!(segments.last(), Some(Segment::Rest(_))) {
            return Err(malformed());
        }
        let name = part.strip_prefix([':', '*']);
        if let Some(name) = name {
            let is_unnamed = part == UNNAMED;
            if names.contains(&name) || name.contains([':', '*']) || (name.is_empty() && !is_unnamed) {
                return Err(malformed());
            }
            names.push(name);
        }
        segments.push(match name {
            Some("") => Segment::Rest(UNNAMED.to_owned()),
            Some(name) if part.starts_with('*') => Segment::Rest(name.to_owned()),
            Some(name) => Segment::Name(name.to_owned()),
            None => Segment::Literal(decode(part).ok_or_else(malformed)?.into_owned()),
        });
    }
    Ok(segments)
}

fn same_paths(a: &[Segment], b: &[Segment]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.rank() == b.rank() && (a.rank() > 0 || a == b))
}

/// The beginning of a path, split only up to the number of segments in the longest pattern. The rest can be as long
/// as the head of a request.
struct SplitPath<'p> {
    pieces: Vec<Piece<'p>>,
    /// `true` if no segment follows the last piece.
    is_whole: bool,
}

struct Piece<'p> {
    /// The percent-decoded segment, or `None` if it is not UTF-8.
    segment: Option<Cow<'p, str>>,
    /// The path from this segment on, unchanged.
    tail: &'p str,
}

impl<'p> SplitPath<'p> {
    fn new(path: &'p str, most: usize) -> Self {
        let mut pieces = Vec::new();
        let mut rest = Some(path);
        while pieces.len() < most
            && let Some(tail) = rest
        {
            let (segment, behind) = match tail.split_once('/') {
                Some((segment, behind)) => (segment, Some(behind)),
                None => (tail, None),
            };
            pieces.push(Piece { segment: decode(segment), tail });
            rest = behind;
        }
        Self { pieces, is_whole: rest.is_none() }
    }

    fn matches(&self, pattern: &[Segment]) -> bool {
        for (at, segment) in pattern.iter().enumerate() {
            let Some(Piece { segment: Some(text), tail }) = self.pieces.get(at) else { return false };
            let matches = match segment {
                Segment::Literal(literal) => literal == text,
                Segment::Name(_) => !text.is_empty(),
                Segment::Rest(name) => {
                    return (name == UNNAMED || !tail.is_empty()) && decode(tail).is_some();
                }
            };
            if !matches {
                return false;
            }
        }
        self.is_whole && self.pieces.len() == pattern.len()
    }

    /// Returns the values of the parameters in a matching pattern.
    fn parameters(&self, pattern: &[Segment]) -> Parameters {
        let value = |(segment, piece): (&Segment, &Piece<'p>)| match segment {
            Segment::Literal(_) => None,
            Segment::Name(name) => Some((name.clone(), piece.segment.clone()?.into_owned())),
            Segment::Rest(name) => Some((name.clone(), decode(piece.tail)?.into_owned())),
        };
        Parameters(pattern.iter().zip(&self.pieces).filter_map(value).collect())
    }
}

fn decode(segment: &str) -> Option<Cow<'_, str>> {
    // Most segments have nothing to decode, and a search for one byte is much faster than decoding.
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    percent_decode_str(segment).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_route_wins_whatever_the_order() {
        let patterns = ["/*", "/:a", "/echo", "/:a/x", "/echo/*rest", "/echo/:b", "/"];
        for turn in 0..patterns.len() {
            let mut routes = PathRouter::new();
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
                ("/echo/", "/*"),
                ("/echo/x/y", "/echo/*rest"),
                ("/other/y", "/*"),
            ] {
                assert_eq!(routes.find(path).unwrap().0, &expected, "{path}");
            }
        }
    }

    #[test]
    fn names_are_filled_percent_decoded() {
        let mut routes = PathRouter::new();
        routes.insert("/a/:one/b/*two", ()).unwrap();
        let (_, parameters) = routes.find("/a/%C3%BC%2F/b/c/d").unwrap();
        let found: Vec<_> = parameters.iter().collect();
        assert_eq!(found, [("one", "ü/"), ("two", "c/d")]);
    }

    #[test]
    fn a_path_that_is_not_utf8_finds_nothing() {
        let mut routes = PathRouter::new();
        routes.insert("/*", ()).unwrap();
        assert!(routes.find("/%FF").is_none());
    }

    #[test]
    fn malformed_and_duplicate_patterns_are_refused() {
        let mut routes = PathRouter::new();
        routes.insert("/a/:b", ()).unwrap();
        for pattern in
            ["", "a", "/:", "/*/a", "/*a/*b", "/:a/:a", "/:a/*a", "/:*", "/:*/*", "/**", "/:a:b", "/a/%FF"]
        {
            assert!(matches!(routes.insert(pattern, ()), Err(RouteError::Malformed(_))), "{pattern}");
        }
        assert!(matches!(routes.insert("/a/:c", ()), Err(RouteError::Duplicate(_))));
    }
}
