mod reference;

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{error::Error, fmt, net::Ipv6Addr, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::excerpt::Excerpt;

/// Characters that are escaped in a path or query. The percent sign is not among them, so that text that is already
/// escaped is not escaped again.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Characters that are escaped in the zone of an IPv6 address (RFC 6874 section 2).
const ZONE_ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The URL of a WebSocket: a `ws://` or `wss://` URI (RFC 6455 section 3). `http://` and `https://` are accepted as
/// synonyms, as in the `WebSocket` API of browsers.
///
/// ```
/// use ws_core::Url;
///
/// let url: Url = "wss://user:secret@example.com/chat room?lang=de".parse()?;
/// assert!(url.is_secure());
/// assert_eq!((url.host(), url.port()), ("example.com", 443));
/// assert_eq!(url.target(), "/chat%20room?lang=de");
/// assert_eq!(url.to_string(), "wss://example.com/chat%20room?lang=de"); // without the secret
///
/// let url: Url = "ws://[::1]:9001".parse()?;
/// assert_eq!((url.host(), url.port(), url.target()), ("::1", 9001, "/"));
///
/// let url: Url = "https://[fe80::1%25eth0]/".parse()?; // a link-local address
/// assert_eq!((url.host(), url.server_name()), ("fe80::1%eth0", "fe80::1"));
/// assert_eq!(url.to_string(), "wss://[fe80::1%25eth0]/");
/// # Ok::<(), ws_core::UrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    secure: bool,
    host: String,
    port: u16,
    target: String,
    authorization: Option<String>,
}

impl Url {
    /// Returns `true` for `wss://`, which uses TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Returns the host to connect to: a name in lower case, or an IP address without brackets. An IPv6 address can
    /// have a zone after a `%`, such as the network interface, in the form that the operating system resolves.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the host without the zone of an IPv6 address, which has a meaning on the local machine only (RFC 6874
    /// section 4). The server's TLS certificate has to be valid for this name.
    #[must_use]
    pub fn server_name(&self) -> &str {
        self.host.split_once('%').map_or(&self.host, |(address, _)| address)
    }

    /// Returns the port. Default: 80 for `ws://` and 443 for `wss://`.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the path and query for the request. They begin with a slash and are escaped where necessary.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns the value of an `Authorization` header for the user and password in the URL.
    pub(super) fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// Returns the host for the `Host` header, with the port if it is not the default one.
    pub(super) fn authority(&self) -> String {
        self.with_port(self.server_name())
    }

    fn with_port(&self, host: &str) -> String {
        let brackets = if host.contains(':') { ("[", "]") } else { ("", "") };
        let mut authority = format!("{}{host}{}", brackets.0, brackets.1);
        if self.port != default_port(self.secure) {
            authority.push_str(&format!(":{}", self.port));
        }
        authority
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        if url.chars().any(char::is_control) {
            return Err(UrlError::ControlCharacter);
        }
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        let secure = match scheme {
            _ if ["ws", "http"].iter().any(|name| scheme.eq_ignore_ascii_case(name)) => false,
            _ if ["wss", "https"].iter().any(|name| scheme.eq_ignore_ascii_case(name)) => true,
            _ => return Err(UrlError::Scheme),
        };
        // RFC 6455 3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be
        // used".
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let (authority, tail) =
            rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len())).unwrap_or((rest, ""));
        if authority.contains('\\') {
            return Err(UrlError::Host);
        }
        let (user, host_and_port) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (host, port) = parse_host(host_and_port)?;
        let slash = if tail.starts_with('/') { "" } else { "/" };
        Ok(Self {
            secure,
            host,
            port: port.unwrap_or_else(|| default_port(secure)),
            target: format!("{slash}{}", utf8_percent_encode(tail, ESCAPED)),
            // An empty user with an empty password does not request authentication.
            authorization: user.filter(|user| !matches!(*user, "" | ":")).map(basic),
        })
    }
}

/// Shows the URL without user and password.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.with_port(&with_escaped_zone(&self.host)), self.target)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({:?})", Excerpt(self.to_string().as_bytes()))
    }
}

/// Returns the host as in a URL, but without brackets (RFC 6874 section 2).
pub(super) fn with_escaped_zone(host: &str) -> String {
    match host.split_once('%') {
        Some((address, zone)) => format!("{address}%25{}", utf8_percent_encode(zone, ZONE_ESCAPED)),
        None => host.into(),
    }
}

const fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

pub(super) fn parse_host(authority: &str) -> Result<(String, Option<u16>), UrlError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(UrlError::Host)?;
            let (address, zone) = match address.split_once('%') {
                Some((address, zone)) => (address, Some(parse_zone(zone).ok_or(UrlError::Host)?)),
                None => (address, None),
            };
            let address: Ipv6Addr = address.parse().map_err(|_| UrlError::Host)?;
            if !port.is_empty() && !port.starts_with(':') {
                return Err(UrlError::Host);
            }
            (
                zone.map_or_else(|| format!("{address}"), |zone| format!("{address}%{zone}")),
                port.strip_prefix(':').unwrap_or_default(),
            )
        }
        None => {
            let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            if host.is_empty() || !host.bytes().all(is_name) {
                return Err(UrlError::Host);
            }
            (host.to_ascii_lowercase(), port)
        }
    };
    if port.is_empty() {
        return Ok((host, None));
    }
    match port.parse() {
        Ok(number) if number != 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok((host, Some(number)))
        }
        _ => Err(UrlError::Port),
    }
}

/// Parses `"%25" ZoneID` (RFC 6874 section 2), after the first percent sign.
fn parse_zone(escaped: &str) -> Option<String> {
    let escaped = escaped.strip_prefix("25")?;
    let is_written = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
    let zone = percent_decode_str(escaped).decode_utf8().ok()?;
    let is_zone = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
    let is_valid = !zone.is_empty() && escaped.bytes().all(is_written) && zone.bytes().all(is_zone);
    is_valid.then(|| zone.into_owned())
}

/// Returns the value of an `Authorization` header for basic authentication (RFC 7617).
fn basic(user_and_password: &str) -> String {
    let (user, password) = user_and_password.split_once(':').unwrap_or((user_and_password, ""));
    let mut credentials = percent_decode_str(user).collect::<Vec<u8>>();
    credentials.push(b':');
    credentials.extend(percent_decode_str(password));
    format!("Basic {}", STANDARD.encode(credentials))
}

/// The reason why a text is not a WebSocket URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UrlError {
    /// It does not begin with `ws://`, `wss://`, `http://` or `https://`.
    Scheme,
    /// The host is missing, or is neither a name in ASCII nor an IP address.
    Host,
    /// The port is not a number from 1 to 65535.
    Port,
    /// It has a fragment (`#...`), which has no meaning for a WebSocket.
    Fragment,
    /// It contains a control character, such as a line break.
    ControlCharacter,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => {
                "the URL does not begin with ws:// or wss:// (or http:// or https://, which mean the same)"
            }
            Self::Host => {
                "the URL's host is missing, or is neither a name in ASCII (use punycode) nor an IP address"
            }
            Self::Port => "the URL's port is not a number from 1 to 65535",
            Self::Fragment => "the URL has a fragment; leave out the '#' or write it as %23",
            Self::ControlCharacter => "the URL contains a control character",
        })
    }
}

impl Error for UrlError {}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;

    use super::*;

    fn parts(url: &str) -> Result<(String, u16, String), UrlError> {
        url.parse().map(|url: Url| (url.authority(), url.port(), url.target().to_owned()))
    }

    #[test]
    fn addresses_are_taken_apart() {
        for (url, authority, port, target) in [
            ("ws://example.com", "example.com", 80, "/"),
            ("wss://example.com", "example.com", 443, "/"),
            ("WSS://EXAMPLE.com:443/", "example.com", 443, "/"),
            ("ws://example.com:443/a", "example.com:443", 443, "/a"),
            ("ws://example.com:", "example.com", 80, "/"),
            ("ws://example.com?x=1", "example.com", 80, "/?x=1"),
            ("ws://example.com/a/b?x=/?", "example.com", 80, "/a/b?x=/?"),
            ("ws://example.com/ü %20\"", "example.com", 80, "/%C3%BC%20%20%22"),
            ("ws://127.0.0.1:9001/echo", "127.0.0.1:9001", 9001, "/echo"),
            ("ws://[::1]", "[::1]", 80, "/"),
            ("ws://[2001:DB8::1]:8080/", "[2001:db8::1]:8080", 8080, "/"),
            ("ws://a_b.example/", "a_b.example", 80, "/"),
            ("http://example.com/a", "example.com", 80, "/a"),
            ("HTTPS://example.com", "example.com", 443, "/"),
            ("http://example.com:443", "example.com:443", 443, "/"),
            ("ws://[fe80::1%25lo]/", "[fe80::1]", 80, "/"),
            ("wss://[FE80::1%25eth0.1]:8443/", "[fe80::1]:8443", 8443, "/"),
            ("ws://user@host/", "host", 80, "/"),
            ("ws://host/@not-a-user", "host", 80, "/@not-a-user"),
        ] {
            assert_eq!(parts(url), Ok((authority.to_owned(), port, target.to_owned())), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        for (url, error) in [
            ("", UrlError::Scheme),
            ("example.com", UrlError::Scheme),
            ("ftp://example.com", UrlError::Scheme),
            ("httpx://example.com", UrlError::Scheme),
            ("ws:/example.com", UrlError::Scheme),
            ("ws://", UrlError::Host),
            ("ws:///path", UrlError::Host),
            ("ws://:80/", UrlError::Host),
            ("ws://exämple.com/", UrlError::Host),
            ("ws://a b/", UrlError::Host),
            ("ws://[::1/", UrlError::Host),
            ("ws://[::g]/", UrlError::Host),
            ("ws://[::1]80/", UrlError::Host),
            ("ws://::1/", UrlError::Host),
            ("ws://[fe80::1%lo]/", UrlError::Host),
            ("ws://[fe80::1%25]/", UrlError::Host),
            ("ws://[fe80::1%2]/", UrlError::Host),
            ("ws://[fe80::1%25a b]/", UrlError::Host),
            ("ws://[fe80::1%25a/b]/", UrlError::Host),
            ("ws://[fe80::1%25%0A]/", UrlError::Host),
            ("ws://[fe80::1%25%]/", UrlError::Host),
            ("ws://[%25lo]/", UrlError::Host),
            ("ws://host%25lo/", UrlError::Host),
            ("ws://127.0.0.1%25lo/", UrlError::Host),
            ("ws://host:0/", UrlError::Port),
            ("ws://host:65536/", UrlError::Port),
            ("ws://host:+80/", UrlError::Port),
            ("ws://host:80:80/", UrlError::Port),
            ("ws://host/#top", UrlError::Fragment),
            ("ws://host/\r\nX: y", UrlError::ControlCharacter),
        ] {
            assert_eq!(parts(url), Err(error), "{url:?}");
        }
    }

    #[test]
    fn a_zone_is_part_of_the_host_and_of_nothing_that_is_sent() {
        for (url, host, shown) in [
            ("ws://[fe80::1%25lo]/", "fe80::1%lo", "ws://[fe80::1%25lo]/"),
            ("ws://[fe80::1%251]:9001/", "fe80::1%1", "ws://[fe80::1%251]:9001/"),
            ("https://[FE80::1%25Eth%30%2F1]", "fe80::1%Eth0/1", "wss://[fe80::1%25Eth0%2F1]/"),
        ] {
            let url: Url = url.parse().unwrap();
            assert_eq!((url.host(), url.server_name()), (host, "fe80::1"));
            assert!(!url.authority().contains('%'));
            assert_eq!(url.to_string(), shown);
            assert_eq!(shown.parse(), Ok(url));
        }
        let url: Url = "ws://example.com".parse().unwrap();
        assert_eq!((url.host(), url.server_name()), ("example.com", "example.com"));
    }

    #[test]
    fn user_and_password_become_basic_authentication_and_are_not_shown() {
        let url: Url = "ws://Aladdin:open%20sesame@host/".parse().unwrap();
        assert_eq!(url.authorization(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert_eq!(url.to_string(), "ws://host/");
    }
}
