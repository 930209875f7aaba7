//! References to a URL, as in the header `Location` (RFC 3986 section 5.2).

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{Url, UrlError};

impl Url {
    /// Resolves a reference such as `../chat?lang=de`, `//example.com/` or `wss://example.com/` against this URL (RFC 3986
    /// section 5.2). A fragment of the reference is dropped. User and password of this URL are kept for the same
    /// [origin](Self::is_same_origin) only, and those of the reference are ignored.
    ///
    /// ```
    /// use ws_core::Url;
    ///
    /// let url: Url = "wss://example.com/a/b?x=1".parse()?;
    /// assert_eq!(url.join("../c?y=2#top")?.to_string(), "wss://example.com/c?y=2");
    /// assert_eq!(url.join("//example.org:8443")?.to_string(), "wss://example.org:8443/");
    /// # Ok::<(), ws_core::UrlError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns a [`UrlError`] if the reference is not valid or has another scheme than `ws`, `wss`, `http` or `https`.
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        let reference = reference.split('#').next().unwrap_or_default();
        let mut url: Self = if has_scheme(reference) {
            reference.parse()?
        } else if reference.starts_with("//") {
            let scheme = if self.secure { "wss" } else { "ws" };
            format!("{scheme}:{reference}").parse()?
        } else {
            // The parser checks and escapes the target. The host is replaced.
            let mut url: Self = format!("ws://host{}", merged(&self.target, reference)).parse()?;
            (url.secure, url.port) = (self.secure, self.port);
            url.host.clone_from(&self.host);
            url
        };
        url.target = without_dot_segments(&url.target);
        let is_same = url.is_same_origin(self);
        url.authorization = self.authorization.clone().filter(|_| is_same);
        Ok(url)
    }

    /// Returns `true` if scheme, host and port are equal (RFC 6454 section 5).
    #[must_use]
    pub fn is_same_origin(&self, other: &Self) -> bool {
        (self.secure, &self.host, self.port) == (other.secure, &other.host, other.port)
    }
}

/// Returns `true` if the reference begins with a scheme (RFC 3986 section 3.1).
fn has_scheme(reference: &str) -> bool {
    reference.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

/// Returns the target of a reference without an authority (RFC 3986 section 5.2.2).
fn merged(base: &str, reference: &str) -> String {
    let path = base.split('?').next().unwrap_or_default();
    match reference.bytes().next() {
        None => base.to_string(),
        Some(b'/') => reference.to_string(),
        Some(b'?') => format!("{path}{reference}"),
        Some(_) => {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{reference}")
        }
    }
}

/// Removes `.` and `..` from the path of a target (RFC 3986 section 5.2.4).
fn without_dot_segments(target: &str) -> String {
    let (path, query) =
        target.split_at_checked(target.find('?').unwrap_or(target.len())).unwrap_or((target, ""));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_dot = matches!(segment, "." | "..");
        if segment == ".." {
            kept.pop();
        }
        if !is_dot {
            kept.push(segment);
        } else if segments.peek().is_none() {
            // The path ends in a folder.
            kept.push("");
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(base: &str, reference: &str) -> Result<String, UrlError> {
        base.parse::<Url>().unwrap().join(reference).map(|url| url.to_string())
    }

    #[test]
    fn the_examples_of_rfc_3986_are_resolved() {
        // Section 5.4, without the fragments and with a scheme of WebSockets.
        for (reference, expected) in [
            ("g", "/b/c/g"),
            ("./g", "/b/c/g"),
            ("g/", "/b/c/g/"),
            ("/g", "/g"),
            ("?y", "/b/c/d;p?y"),
            ("g?y", "/b/c/g?y"),
            ("#s", "/b/c/d;p?q"),
            ("g#s", "/b/c/g"),
            ("g?y#s", "/b/c/g?y"),
            (";x", "/b/c/;x"),
            ("g;x?y#s", "/b/c/g;x?y"),
            ("", "/b/c/d;p?q"),
            (".", "/b/c/"),
            ("./", "/b/c/"),
            ("..", "/b/"),
            ("../", "/b/"),
            ("../g", "/b/g"),
            ("../..", "/"),
            ("../../g", "/g"),
            ("../../../g", "/g"),
            ("../../../../g", "/g"),
            ("/./g", "/g"),
            ("/../g", "/g"),
            ("g.", "/b/c/g."),
            (".g", "/b/c/.g"),
            ("..g", "/b/c/..g"),
            ("./../g", "/b/g"),
            ("./g/.", "/b/c/g/"),
            ("g/./h", "/b/c/g/h"),
            ("g/../h", "/b/c/h"),
            ("g;x=1/../y", "/b/c/y"),
            ("g?y/./x", "/b/c/g?y/./x"),
            ("g?y/../x", "/b/c/g?y/../x"),
            ("g#s/../x", "/b/c/g"),
            ("a b\u{fc}", "/b/c/a%20b%C3%BC"),
            ("g?u=http://x/", "/b/c/g?u=http://x/"),
        ] {
            let expected = format!("ws://a{expected}");
            assert_eq!(joined("ws://a/b/c/d;p?q", reference), Ok(expected), "{reference:?}");
        }
        assert_eq!(joined("ws://a/b/c/d;p?q", "//g"), Ok("ws://g/".into()));
        assert_eq!(joined("wss://a", "g"), Ok("wss://a/g".into()));
        assert_eq!(joined("wss://[::1]:8443/x", "/y"), Ok("wss://[::1]:8443/y".into()));
        assert_eq!(joined("ws://a/", "HTTPS://b/../c"), Ok("wss://b/c".into()));
    }

    #[test]
    fn a_reference_that_leads_to_no_websocket_is_refused() {
        for (reference, error) in [
            ("mailto:a@b", UrlError::Scheme),
            ("g:h", UrlError::Scheme),
            ("ftp://b/", UrlError::Scheme),
            ("ws:///b", UrlError::Host),
            ("///b", UrlError::Host),
            ("//b:0/", UrlError::Port),
            ("/b\r\nX: y", UrlError::ControlCharacter),
        ] {
            assert_eq!(joined("ws://a/", reference), Err(error), "{reference:?}");
        }
    }

    #[test]
    fn user_and_password_stay_with_their_origin() {
        let url: Url = "wss://user:secret@a/x".parse().unwrap();
        for reference in ["/y", "wss://a/y", "https://A:443/y", "wss://other:user@a/y"] {
            assert_eq!(url.join(reference).unwrap().authorization, url.authorization, "{reference}");
        }
        for reference in ["wss://b/", "//a:8443/", "ws://a:443/", "//user:secret@b/"] {
            assert_eq!(url.join(reference).unwrap().authorization, None, "{reference}");
        }
    }
}
