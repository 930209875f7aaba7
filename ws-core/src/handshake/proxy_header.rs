//! The header of the PROXY protocol, versions 1 and 2, by which a proxy reports the client's address before all other
//! bytes (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>).

use alloc::vec::Vec;
use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use super::HandshakeError;

/// The beginning of version 1.
const SIGNATURE_1: &[u8] = b"PROXY ";
/// The beginning of version 2.
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Maximum length of a header of version 1 in bytes, with CR and LF.
const MAX_LEN_1: usize = 107;
/// Length of the fixed part of version 2 in bytes.
const FIXED_LEN_2: usize = 16;
/// Maximum length of the variable part of version 2 in bytes. The addresses have at most 216. The rest are extensions.
const MAX_VARIABLE_LEN_2: usize = 4096;

/// The addresses in a header of the PROXY protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyHeader {
    /// The client's address. `None` if the proxy reports none, as in its own health checks. The address of the socket is
    /// valid then.
    pub source: Option<SocketAddr>,
    /// The address that the client has connected to.
    pub destination: Option<SocketAddr>,
}

/// Receives a header of the PROXY protocol, of version 1 or 2. Use it only for connections of trusted proxies, because a
/// client can send the same bytes.
///
/// ```
/// use ws_core::server::ProxyHeaderReader;
///
/// let mut received = *b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\nGET / HTTP/1.1\r\n";
/// let mut input = &mut received[..];
/// let header = ProxyHeaderReader::new().receive(&mut input)?.expect("it is complete");
/// assert_eq!(header.source, Some("192.0.2.1:4711".parse()?));
/// assert!(input.starts_with(b"GET / "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ProxyHeaderReader {
    received: Vec<u8>,
}

impl ProxyHeaderReader {
    /// Creates a reader for the beginning of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes received bytes off `input`, up to the end of the header. Returns `None` if more bytes are needed. It keeps at
    /// most 4,112 bytes.
    ///
    /// # Errors
    ///
    /// Returns [`HandshakeError::MalformedProxyHeader`] if the bytes are not a header of the PROXY protocol.
    pub fn receive(&mut self, input: &mut &mut [u8]) -> Result<Option<ProxyHeader>, HandshakeError> {
        while let Some(byte) = input.split_off_first_mut() {
            self.received.push(*byte);
            if let Some(header) = self.parse().map_err(HandshakeError::MalformedProxyHeader)? {
                self.received = Vec::new();
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Returns `true` if a part of a header was received.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        !self.received.is_empty()
    }

    /// Parses the header if it is complete.
    fn parse(&self) -> Result<Option<ProxyHeader>, &'static str> {
        let received = self.received.as_slice();
        if is_beginning(received, SIGNATURE_1) {
            return parse_1(received);
        }
        if !is_beginning(received, SIGNATURE_2) {
            return Err("it begins neither with PROXY nor with the signature of version 2");
        }
        let Some((fixed, variable)) = received.split_at_checked(FIXED_LEN_2) else { return Ok(None) };
        let len = match fixed.last_chunk() {
            Some(&len) => usize::from(u16::from_be_bytes(len)),
            None => return Ok(None),
        };
        if len > MAX_VARIABLE_LEN_2 {
            return Err("it is too long");
        }
        if variable.len() < len { Ok(None) } else { parse_2(fixed, variable).map(Some) }
    }
}

/// Returns `true` if the signature begins with these bytes, or these bytes with the signature.
fn is_beginning(received: &[u8], signature: &[u8]) -> bool {
    received.iter().zip(signature).all(|(byte, expected)| byte == expected)
}

fn parse_1(received: &[u8]) -> Result<Option<ProxyHeader>, &'static str> {
    let Some(line) = received.strip_suffix(b"\n") else {
        return if received.len() < MAX_LEN_1 { Ok(None) } else { Err("its line is too long") };
    };
    let line = line.strip_suffix(b"\r").and_then(|line| core::str::from_utf8(line).ok());
    let line = line.ok_or("its line is no ASCII text that ends with CR and LF")?;
    let mut words = line.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(Some(ProxyHeader::default()));
    }
    let mut next = || words.next().unwrap_or_default();
    let [source, destination, source_port, destination_port] = [next(), next(), next(), next()];
    if words.next().is_some() {
        return Err("its line has too many words");
    }
    let [source, destination] = match family {
        "TCP4" => [source, destination].map(address::<Ipv4Addr>),
        "TCP6" => [source, destination].map(address::<Ipv6Addr>),
        _ => return Err("its protocol is neither TCP4 nor TCP6 nor UNKNOWN"),
    };
    let [source_port, destination_port] = [source_port, destination_port].map(port);
    let end = |address: Option<IpAddr>, port: Option<u16>| Some(SocketAddr::new(address?, port?));
    let (source, destination) = (end(source, source_port), end(destination, destination_port));
    if source.is_none() || destination.is_none() {
        return Err("its addresses or ports are malformed");
    }
    Ok(Some(ProxyHeader { source, destination }))
}

fn address<A: FromStr + Into<IpAddr>>(text: &str) -> Option<IpAddr> {
    text.parse::<A>().ok().map(Into::into)
}

fn port(text: &str) -> Option<u16> {
    let is_canonical = text == "0" || !text.starts_with('0');
    if is_canonical && text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn parse_2(fixed: &[u8], variable: &[u8]) -> Result<ProxyHeader, &'static str> {
    let &[version_and_command, family, ..] = fixed.get(SIGNATURE_2.len()..).unwrap_or_default() else {
        return Err("it is too short");
    };
    match version_and_command {
        // The proxy speaks for itself, for example in a health check.
        0x20 => return Ok(ProxyHeader::default()),
        0x21 => {}
        _ => return Err("its version or command is unknown"),
    }
    let short = "it is shorter than its addresses";
    match family {
        0x11 => {
            let addresses = variable.first_chunk::<12>().ok_or(short)?;
            let &[a, b, c, d, e, f, g, h, source_high, source_low, high, low] = addresses;
            Ok(ProxyHeader {
                source: Some(
                    (Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([source_high, source_low])).into(),
                ),
                destination: Some((Ipv4Addr::new(e, f, g, h), u16::from_be_bytes([high, low])).into()),
            })
        }
        0x21 => {
            let (source, rest) = variable.split_first_chunk::<16>().ok_or(short)?;
            let (destination, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
            let &[source_high, source_low, high, low] = rest.first_chunk::<4>().ok_or(short)?;
            Ok(ProxyHeader {
                source: Some((Ipv6Addr::from(*source), u16::from_be_bytes([source_high, source_low])).into()),
                destination: Some((Ipv6Addr::from(*destination), u16::from_be_bytes([high, low])).into()),
            })
        }
        // Unspecified, and stream sockets of the Unix domain, which have no IP address.
        0x00 | 0x31 => Ok(ProxyHeader::default()),
        _ => Err("its address family or protocol is not TCP"),
    }
}
