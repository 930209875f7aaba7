use super::{HandshakeError, Headers};
use crate::OriginPolicy;

impl OriginPolicy {
    /// Whether a request with these headers may open a WebSocket.
    pub(super) fn check(&self, headers: &Headers) -> Result<(), HandshakeError> {
        let mut origins = headers.values("Origin");
        let Some(origin) = origins.next() else { return Ok(()) };
        if origins.next().is_some() {
            return Err(HandshakeError::DuplicateHeader("Origin"));
        }
        let origin = core::str::from_utf8(origin).map_err(|_| HandshakeError::InvalidHeader("Origin"))?;
        let allowed = match self {
            Self::Any => true,
            Self::OneOf(origins) => origins.iter().any(|allowed| same_origin(allowed, origin)),
            Self::SameHost => headers.get("Host").is_some_and(|host| same_host(origin, host)),
        };
        if allowed { Ok(()) } else { Err(HandshakeError::OriginRefused) }
    }
}

/// Compares serialised origins (RFC 6454 section 6.2), forgiving a trailing slash and a default port.
fn same_origin(a: &str, b: &str) -> bool {
    match (a.split_once("://"), b.split_once("://")) {
        (Some((a_scheme, a_host)), Some((b_scheme, b_host))) => {
            a_scheme.eq_ignore_ascii_case(b_scheme)
                && without_default_port(a_scheme, a_host)
                    .eq_ignore_ascii_case(without_default_port(b_scheme, b_host))
        }
        _ => a == b,
    }
}

/// Whether a page of this origin was served by the host that is asked now.
fn same_host(origin: &str, host: &str) -> bool {
    origin.split_once("://").is_some_and(|(scheme, origin_host)| {
        without_default_port(scheme, origin_host).eq_ignore_ascii_case(without_default_port(scheme, host))
    })
}

fn without_default_port<'h>(scheme: &str, host: &'h str) -> &'h str {
    let host = host.strip_suffix('/').unwrap_or(host);
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    host.strip_suffix(port).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec};

    use super::*;

    fn allows(policy: &OriginPolicy, host: &str, origin: &str) -> bool {
        let mut headers = Headers::default();
        assert!(headers.push("Host", host) && headers.push("Origin", origin));
        policy.check(&headers).is_ok()
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
