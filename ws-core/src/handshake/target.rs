use core::ops::Range;

use super::host::is_host;

/// Positions of the parts of a request target in the head.
pub(super) struct TargetParts {
    /// Host and port, if the target is an absolute URI.
    pub(super) authority: Option<Range<usize>>,
    pub(super) path: Range<usize>,
}

impl TargetParts {
    /// Parses a target in origin form or absolute form (RFC 9112 section 3.2) that begins at `start`.
    pub(super) fn parse(target: &str, start: usize) -> Result<Self, &'static str> {
        const NO_PATH: &str = "the request target is no path";
        // RFC 9112 3.2: no form has a fragment.
        if target.contains('#') {
            return Err("the request target has a fragment");
        }
        let at = |offset: usize| start.saturating_add(offset);
        let (authority, path_start) = if target.starts_with('/') {
            (None, 0)
        } else {
            let (scheme, rest) =
                target.split_once("://").filter(|(scheme, _)| is_scheme(scheme)).ok_or(NO_PATH)?;
            let begin = scheme.len().saturating_add(3);
            let len = rest.find(['/', '?']).unwrap_or(rest.len());
            // RFC 9110 4.2.1 and 4.2.4: an empty host is invalid, and a user before the host is an error.
            if !rest.get(..len).is_some_and(is_host) {
                return Err("the host of the request target is missing or invalid");
            }
            let end = begin.saturating_add(len);
            (Some(at(begin)..at(end)), end)
        };
        let path = target.get(path_start..).ok_or(NO_PATH)?;
        let path_end = path_start.saturating_add(path.find('?').unwrap_or(path.len()));
        Ok(Self { authority, path: at(path_start)..at(path_end) })
    }
}

/// Returns `true` for a `scheme` of RFC 3986 section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}
