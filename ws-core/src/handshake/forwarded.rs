//! Clients behind proxies: the headers `Forwarded` (RFC 7239) and `X-Forwarded-*`.

use alloc::{
    borrow::{Cow, ToOwned as _},
    string::String,
    vec::Vec,
};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{HandshakeError, Headers, TrustedProxies, headers::is_token, host::is_host, server::Request};
use crate::Scheme;

/// The headers in which trusted proxies describe the client.
///
/// A client can send any header. So the proxy has to set the chosen headers itself, or has to append to them, or has to
/// delete them. The other kind is ignored, because a proxy passes it on unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForwardedHeaders {
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    XForwarded,
}

/// The client's end, as the chain of trusted proxies describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Described {
    /// `None` if no proxy mentions a client.
    client: Option<Node>,
    scheme: Option<Scheme>,
    host: Option<String>,
}

/// The end of a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    /// The port is 0 if it is not known.
    Address(SocketAddr),
    /// The proxy does not know the address, or hides it.
    Unknown,
}

impl Request {
    /// Replaces the client's address, the scheme and the host by those that trusted proxies report. This does nothing
    /// if the peer is not a trusted proxy. [`set_peer_addr`](Self::set_peer_addr) comes first.
    ///
    /// Several proxies form a chain. From the last proxy to the first, each trusted one describes its own peer. The
    /// first peer that is not trusted is the client. The port of its address is 0 if the proxies do not report it. The
    /// address is `None` if the last trusted proxy does not know it.
    ///
    /// # Errors
    ///
    /// Returns [`HandshakeError::InvalidHeader`] if a header of a trusted proxy is malformed.
    pub fn apply_forwarded(
        &mut self,
        kind: ForwardedHeaders,
        proxies: &TrustedProxies,
    ) -> Result<(), HandshakeError> {
        if !proxies.contains_peer(self.peer_addr()) {
            return Ok(());
        }
        let described = match kind {
            ForwardedHeaders::Forwarded => read_forwarded(self.headers(), proxies),
            ForwardedHeaders::XForwarded => read_x_forwarded(self.headers(), proxies),
        }?;
        match described.client {
            Some(Node::Address(address)) => self.set_peer_addr(Some(address)),
            Some(Node::Unknown) => self.set_peer_addr(None),
            None => {}
        }
        if let Some(scheme) = described.scheme {
            self.set_scheme(scheme);
        }
        if let Some(host) = described.host {
            self.replace_host(&host);
        }
        Ok(())
    }
}

/// Reads `Forwarded`, from the last element to the first.
fn read_forwarded(headers: &Headers, proxies: &TrustedProxies) -> Result<Described, HandshakeError> {
    const INVALID: HandshakeError = HandshakeError::InvalidHeader("Forwarded");
    let mut described = Described::default();
    let lines = headers.values("Forwarded").collect::<Vec<_>>();
    for line in lines.into_iter().rev() {
        let line = core::str::from_utf8(line).map_err(|_| INVALID)?;
        for element in elements(line).ok_or(INVALID)?.into_iter().rev() {
            // The proxy nearest to the client that reports them knows the scheme and the host best.
            if let Some(scheme) = element.proto {
                described.scheme = Some(scheme_of(&scheme).ok_or(INVALID)?);
            }
            if let Some(host) = element.host {
                described.host = Some(Some(host).filter(|host| is_host(host)).ok_or(INVALID)?.into_owned());
            }
            let Some(name) = element.name else { return Ok(described) };
            let node = node(&name).ok_or(INVALID)?;
            described.client = Some(node);
            if !is_trusted(node, proxies) {
                return Ok(described);
            }
        }
    }
    Ok(described)
}

/// Reads `X-Forwarded-*`. The lists are parallel if each proxy appends to all of them. A shorter list was replaced by
/// one of the proxies.
fn read_x_forwarded(headers: &Headers, proxies: &TrustedProxies) -> Result<Described, HandshakeError> {
    let mut described = Described::default();
    let mut hops = 0_usize;
    for name in list(headers, "X-Forwarded-For")?.into_iter().rev() {
        hops = hops.saturating_add(1);
        let node = node(name).ok_or(HandshakeError::InvalidHeader("X-Forwarded-For"))?;
        described.client = Some(node);
        if !is_trusted(node, proxies) {
            break;
        }
    }
    let nearest = |list: Vec<&str>| -> Option<String> {
        let place = list.len().checked_sub(hops.clamp(1, list.len().max(1)))?;
        list.get(place).map(|&value| value.to_owned())
    };
    if let Some(scheme) = nearest(list(headers, "X-Forwarded-Proto")?) {
        let invalid = HandshakeError::InvalidHeader("X-Forwarded-Proto");
        described.scheme = Some(scheme_of(&scheme).ok_or(invalid)?);
    }
    if let Some(host) = nearest(list(headers, "X-Forwarded-Host")?) {
        let invalid = HandshakeError::InvalidHeader("X-Forwarded-Host");
        described.host = Some(Some(host).filter(|host| is_host(host)).ok_or(invalid)?);
    }
    Ok(described)
}

fn is_trusted(node: Node, proxies: &TrustedProxies) -> bool {
    matches!(node, Node::Address(address) if proxies.contains(address.ip()))
}

/// Returns the elements of a comma-separated list, over all fields of this name. Empty elements are ignored.
fn list<'h>(headers: &'h Headers, name: &'static str) -> Result<Vec<&'h str>, HandshakeError> {
    let mut elements = Vec::new();
    for value in headers.values(name) {
        let value = core::str::from_utf8(value).map_err(|_| HandshakeError::InvalidHeader(name))?;
        let trimmed = value.split(',').map(|element| element.trim_matches([' ', '\t']));
        elements.extend(trimmed.filter(|element| !element.is_empty()));
    }
    Ok(elements)
}

fn scheme_of(name: &str) -> Option<Scheme> {
    match name.to_ascii_lowercase().as_str() {
        "http" | "ws" => Some(Scheme::Http),
        "https" | "wss" => Some(Scheme::Https),
        _ => None,
    }
}

/// Parses a node (RFC 7239 section 6): an address with an optional port, `unknown`, or an obfuscated name. An IPv6
/// address without brackets is legal in `X-Forwarded-For`.
fn node(text: &str) -> Option<Node> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Node::Address(SocketAddr::new(address.to_canonical(), 0)));
    }
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest.split_once(']')?;
            (address, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let port = match port {
        None => 0,
        Some(port) if is_obfuscated(port) => 0,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok()?,
        Some(_) => return None,
    };
    let address = if text.starts_with('[') {
        name.parse::<Ipv6Addr>().map(IpAddr::V6).ok()
    } else if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        return Some(Node::Unknown);
    } else {
        name.parse::<Ipv4Addr>().map(IpAddr::V4).ok()
    };
    Some(Node::Address(SocketAddr::new(address?.to_canonical(), port)))
}

/// Returns `true` for an identifier that hides an address or port (RFC 7239 section 6.3).
fn is_obfuscated(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_legal))
}

/// An element of `Forwarded`: the description of one hop.
#[derive(Debug, Default)]
struct Element<'l> {
    name: Option<Cow<'l, str>>,
    proto: Option<Cow<'l, str>>,
    host: Option<Cow<'l, str>>,
}

/// Parses a line of `Forwarded` (RFC 7239 section 4). Returns `None` if it is malformed.
fn elements(line: &str) -> Option<Vec<Element<'_>>> {
    let mut elements = Vec::new();
    let mut element = Element::default();
    let mut is_empty = true;
    let mut rest = line.trim_start_matches([' ', '\t']);
    while !rest.is_empty() {
        if let Some(next) = rest.strip_prefix(',') {
            if !is_empty {
                elements.push(core::mem::take(&mut element));
            }
            is_empty = true;
            rest = next.trim_start_matches([' ', '\t']);
            continue;
        }
        if let Some(next) = rest.strip_prefix(';') {
            rest = next.trim_start_matches([' ', '\t']);
            continue;
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value(after)?;
        let place = match name.to_ascii_lowercase().as_str() {
            "for" => Some(&mut element.name),
            "proto" => Some(&mut element.proto),
            "host" => Some(&mut element.host),
            _ if is_token(name) => None,
            _ => return None,
        };
        // "Each parameter MUST NOT occur more than once per field-value."
        if place.is_some_and(|place| place.replace(value).is_some()) {
            return None;
        }
        is_empty = false;
        rest = after.trim_start_matches([' ', '\t']);
        if !(rest.is_empty() || rest.starts_with([',', ';'])) {
            return None;
        }
    }
    if !is_empty {
        elements.push(element);
    }
    Some(elements)
}

/// Splits off a token or a quoted string. Returns its value and the text after it.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', ' ', '\t']).unwrap_or(text.len());
        let (token, rest) = text.split_at_checked(end)?;
        // Addresses with a port have to be quoted, but common proxies write them without quotes.
        let is_legal = is_token(&token.replace([':', '[', ']'], "_"));
        return is_legal.then_some((Cow::Borrowed(token), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((Cow::Owned(value), quoted.get(at.saturating_add(1)..)?)),
            '\\' => value.push(chars.next()?.1),
            char => value.push(char),
        }
    }
    None
}
