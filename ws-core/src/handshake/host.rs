//! The grammar of `Host` and of the authority in a request target.

use core::net::Ipv6Addr;

/// Returns `true` for a non-empty host with an optional port: `uri-host [ ":" port ]` (RFC 9110 section 7.2, RFC 3986
/// section 3.2.2). A user before the host is not allowed (RFC 9110 section 4.2.4).
pub(super) fn is_host(text: &str) -> bool {
    let (is_valid, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']').unwrap_or_default();
            (is_ip_literal(address) && (rest.is_empty() || rest.starts_with(':')), rest)
        }
        None => {
            let (name, rest) =
                text.split_at_checked(text.find(':').unwrap_or(text.len())).unwrap_or_default();
            (is_reg_name(name), rest)
        }
    };
    is_valid && port.strip_prefix(':').unwrap_or(port).bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns `true` for an `IP-literal` without its brackets: an IPv6 address, or one of a future version.
fn is_ip_literal(address: &str) -> bool {
    let future = address.strip_prefix(['v', 'V']).and_then(|rest| rest.split_once('.'));
    match future {
        Some((version, address)) => {
            let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hex(version)
                && !address.is_empty()
                && address.bytes().all(|byte| byte == b':' || is_unreserved_or_sub_delim(byte))
        }
        None => address.parse::<Ipv6Addr>().is_ok(),
    }
}

/// Returns `true` for a non-empty `reg-name`. IPv4 addresses match it too.
fn is_reg_name(name: &str) -> bool {
    let mut parts = name.split('%');
    let is_plain = |part: &str| part.bytes().all(is_unreserved_or_sub_delim);
    let is_escaped = |part: &str| {
        let digits = part.as_bytes().first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) && is_plain(part)
    };
    !name.is_empty() && parts.next().is_some_and(is_plain) && parts.all(is_escaped)
}

const fn is_unreserved_or_sub_delim(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&'..=b',' | b';' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for host in [
            "a",
            "example.com",
            "EXAMPLE.com.",
            "a_b",
            "a-b.c~d",
            "caf%C3%A9",
            "a!$&'()*+,;=b",
            "127.0.0.1",
            "1",
            "a:80",
            "a:",
            "a:00080",
            "[::1]",
            "[::1]:9001",
            "[2001:DB8::1]:",
            "[v1.fe80::a+b]",
        ] {
            assert!(is_host(host), "{host}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for host in [
            "",
            ":",
            ":80",
            " ",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a@b",
            "@",
            "a\\b",
            "a:b",
            "a:80:80",
            "a:+80",
            "a:-1",
            "a%",
            "a%4",
            "a%4g",
            "a%g4b",
            "\"a\"",
            "<a>",
            "a|b",
            "a^b",
            "{a}",
            "a`",
            "ü",
            "::1",
            "[]",
            "[::1",
            "::1]",
            "[::g]",
            "[::1]80",
            "[::1]a",
            "[127.0.0.1]",
            "[fe80::1%25lo]",
            "[v.a]",
            "[v1.]",
            "[vg.a]",
            "[v1.a/b]",
            "http://a",
        ] {
            assert!(!is_host(host), "{host:?}");
        }
    }
}
