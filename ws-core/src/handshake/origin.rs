use alloc::{format, string::String};

use super::{HandshakeError, Headers};
use crate::{OriginPolicy, Scheme};

impl OriginPolicy {
    /// Checks that a request with these headers may open a WebSocket. `scheme` is the scheme of the request, if the
    /// driver has set it.
    pub(super) fn check(&self, headers: &Headers, scheme: Option<Scheme>) -> Result<(), HandshakeError> {
        let mut origins = headers.values("Origin");
        let Some(origin) = origins.next() else { return Ok(()) };
        if origins.next().is_some() {
            return Err(HandshakeError::DuplicateHeader("Origin"));
        }
        let origin = core::str::from_utf8(origin).map_err(|_| HandshakeError::InvalidHeader("Origin"))?;
        let host = headers.get("Host").unwrap_or_default();
        let scheme = self.scheme(scheme);
        let allowed = match self {
            Self::Any => true,
            Self::OneOf(origins) => origins.iter().any(|allowed| same_origin(allowed, origin)),
            Self::SameHost | Self::SameOrigin(_) => same_host(origin, host, scheme),
        };
        if allowed { Ok(()) } else { Err(refused(origin, host, scheme)) }
    }

    /// Returns the scheme that pages must use, if there is such a rule.
    const fn scheme(&self, of_request: Option<Scheme>) -> Option<Scheme> {
        match (self, of_request) {
            (Self::SameOrigin(scheme), _) => Some(*scheme),
            // If this connection has no TLS, a proxy may terminate it. A page that was loaded over TLS is never less
            // trustworthy than this connection.
            (Self::SameHost, Some(Scheme::Https)) => Some(Scheme::Https),
            _ => None,
        }
    }
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn of_origin(name: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| scheme.name().eq_ignore_ascii_case(name))
    }

    const fn default_port(self) -> &'static str {
        match self {
            Self::Http => "80",
            Self::Https => "443",
        }
    }
}

#[cold]
fn refused(origin: &str, host: &str, scheme: Option<Scheme>) -> HandshakeError {
    /// Maximum number of characters that are kept.
    const MAX_CHARS: usize = 100;
    let cut = |text: &str| text.chars().take(MAX_CHARS).collect::<String>();
    let target = match scheme {
        Some(scheme) => format!("{}://{}", scheme.name(), cut(host)),
        None => cut(host),
    };
    HandshakeError::OriginRefused { origin: cut(origin).into_boxed_str(), target: target.into_boxed_str() }
}

/// Compares serialised origins (RFC 6454 section 6.2). Ignores a trailing slash and a default port.
fn same_origin(a: &str, b: &str) -> bool {
    match (a.split_once("://"), b.split_once("://")) {
        (Some((a_scheme, a_host)), Some((b_scheme, b_host))) => {
            a_scheme.eq_ignore_ascii_case(b_scheme)
                && is_same_authority(a_host, b_host, Scheme::of_origin(a_scheme).map(Scheme::default_port))
        }
        _ => a == b,
    }
}

/// Returns `true` if a page of this origin was served by the requested host, with one of the web schemes.
fn same_host(origin: &str, host: &str, scheme: Option<Scheme>) -> bool {
    let Some((name, origin_host)) = origin.split_once("://") else { return false };
    let Some(of_origin) = Scheme::of_origin(name) else { return false };
    scheme.is_none_or(|scheme| scheme == of_origin)
        && is_same_authority(origin_host, host, Some(of_origin.default_port()))
}

fn is_same_authority(a: &str, b: &str, default_port: Option<&str>) -> bool {
    let [(a, a_port), (b, b_port)] = [a, b].map(|authority| {
        let (host, port) = split_port(authority.strip_suffix('/').unwrap_or(authority));
        (host, port.or(default_port))
    });
    a.eq_ignore_ascii_case(b) && a_port == b_port
}

/// Returns the host and the port after it. An empty port (RFC 3986 section 3.2.3) counts as no port.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            (host, Some(port).filter(|port| !port.is_empty()))
        }
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec};

    use super::*;

    fn allows(policy: &OriginPolicy, host: &str, origin: &str) -> bool {
        allows_by(policy, None, host, origin)
    }

    fn allows_by(policy: &OriginPolicy, scheme: Option<Scheme>, host: &str, origin: &str) -> bool {
        let mut headers = Headers::default();
        assert!(headers.push("Host", host) && headers.push("Origin", origin));
        policy.check(&headers, scheme).is_ok()
    }

    #[test]
    fn the_scheme_counts_where_it_is_known() {
        let by_tls = Some(Scheme::Https);
        for (policy, scheme, http, https) in [
            (OriginPolicy::SameHost, None, true, true),
            (OriginPolicy::SameHost, Some(Scheme::Http), true, true),
            (OriginPolicy::SameHost, by_tls, false, true),
            (OriginPolicy::SameOrigin(Scheme::Https), None, false, true),
            (OriginPolicy::SameOrigin(Scheme::Https), Some(Scheme::Http), false, true),
            (OriginPolicy::SameOrigin(Scheme::Http), None, true, false),
            (OriginPolicy::Any, by_tls, true, true),
        ] {
            for (host, port) in [("example.com", ""), ("example.com:8443", ":8443"), ("[::1]:9001", "")] {
                let name = host.trim_end_matches(port);
                for (page, allowed) in [("http", http), ("https", https)] {
                    let origin = alloc::format!("{page}://{name}{port}");
                    assert_eq!(allows_by(&policy, scheme, host, &origin), allowed, "{policy:?} {origin}");
                }
            }
        }
        for origin in ["ftp://example.com", "ws://example.com", "file://example.com", "://example.com"] {
            assert!(!allows(&OriginPolicy::SameHost, "example.com", origin), "{origin}");
        }
    }

    #[test]
    fn the_default_port_is_that_of_the_scheme() {
        let policy = OriginPolicy::SameHost;
        for (host, http, https) in [
            ("example.com", true, true),
            ("example.com:", true, true),
            ("example.com:80", true, false),
            ("example.com:443", false, true),
            ("example.com:8080", false, false),
        ] {
            assert_eq!(allows(&policy, host, "http://example.com"), http, "{host}");
            assert_eq!(allows(&policy, host, "https://example.com"), https, "{host}");
            assert_eq!(allows(&policy, host, "http://example.com:80"), http, "{host}");
            assert_eq!(allows(&policy, host, "https://example.com:443"), https, "{host}");
        }
        assert!(allows(&policy, "[::1]", "http://[::1]:80") && allows(&policy, "[::1]:443", "https://[::1]"));
        assert!(!allows(&policy, "[::1]:80", "https://[::1]"));
    }

    #[test]
    fn pages_of_the_same_host_and_port_pass() {
        let policy = OriginPolicy::SameHost;
        assert!(allows(&policy, "example.com", "http://example.com"));
        assert!(allows(&policy, "example.com:80", "http://EXAMPLE.com"));
        assert!(allows(&policy, "example.com", "https://example.com"));
        assert!(allows(&policy, "localhost:9001", "http://localhost:9001"));
        assert!(allows(&policy, "[::1]:9001", "http://[::1]:9001"));
    }

    #[test]
    fn pages_of_other_hosts_ports_and_nowhere_are_refused() {
        let policy = OriginPolicy::SameHost;
        assert!(!allows(&policy, "example.com", "http://evil.example"));
        assert!(!allows(&policy, "example.com", "http://example.com:8080"));
        assert!(!allows(&policy, "example.com", "http://example.com.evil.example"));
        assert!(!allows(&policy, "example.com:80", "https://example.com"));
        assert!(!allows(&policy, "example.com", "null"));
        assert!(!allows(&policy, "example.com", "example.com"));
    }

    #[test]
    fn a_list_allows_what_it_names() {
        let policy = OriginPolicy::OneOf(vec![String::from("https://app.example")]);
        assert!(allows(&policy, "api.example", "https://app.example"));
        assert!(allows(&policy, "api.example", "https://app.example:443"));
        assert!(!allows(&policy, "api.example", "http://app.example"));
        assert!(!allows(&policy, "app.example", "https://api.example"));
    }
}
