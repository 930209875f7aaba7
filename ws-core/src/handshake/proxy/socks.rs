//! SOCKS5 (RFC 1928) with authentication by user and password (RFC 1929).

use alloc::vec::Vec;
use core::{fmt, mem, net::IpAddr};

use super::{Connected, Credentials, ProxyError, ip};
use crate::Transmit;

const VERSION: u8 = 5;
/// Version of the negotiation with user and password (RFC 1929 section 2).
const PASSWORD_VERSION: u8 = 1;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NO_ACCEPTABLE_METHOD: u8 = 0xFF;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Sends the requests of SOCKS5 one after the other, each after the reply to the one before.
pub(super) struct Socks {
    expected: Reply,
    reply: Vec<u8>,
    /// The negotiation with user and password, if there are credentials.
    password: Option<Vec<u8>>,
    /// The request for the connection.
    request: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Reply {
    Method,
    Password,
    Connect,
}

impl Socks {
    pub(super) fn new(
        credentials: Option<&Credentials>,
        host: &str,
        port: u16,
        queue: &mut Transmit,
    ) -> Result<Self, ProxyError> {
        let password = credentials.map(password_request).transpose()?;
        let methods: &[u8] =
            if password.is_some() { &[NO_AUTHENTICATION, USER_AND_PASSWORD] } else { &[NO_AUTHENTICATION] };
        queue.extend_from_slice(&[VERSION, methods.len() as u8]);
        queue.extend_from_slice(methods);
        Ok(Self {
            expected: Reply::Method,
            reply: Vec::new(),
            password,
            request: connect_request(host, port)?,
        })
    }

    pub(super) fn receive(
        &mut self,
        input: &mut &mut [u8],
        queue: &mut Transmit,
    ) -> Result<Option<Connected>, ProxyError> {
        loop {
            let missing = self.check()?;
            if missing > 0 {
                let Some(taken) =
                    input.split_off_mut(..missing.min(input.len())).filter(|taken| !taken.is_empty())
                else {
                    return Ok(None);
                };
                self.reply.extend_from_slice(taken);
                continue;
            }
            let reply = mem::take(&mut self.reply);
            match self.expected {
                Reply::Method if reply.get(1) == Some(&USER_AND_PASSWORD) => {
                    self.expected = Reply::Password;
                    queue.extend_from_slice(&self.password.take().unwrap_or_default());
                }
                Reply::Method | Reply::Password => {
                    self.expected = Reply::Connect;
                    queue.extend_from_slice(&mem::take(&mut self.request));
                }
                Reply::Connect => return Ok(Some(Connected::new())),
            }
        }
    }

    /// Checks the bytes of the reply, each as soon as it arrives, and returns a number of bytes that are missing at least.
    fn check(&self) -> Result<usize, ProxyError> {
        let reply = &self.reply;
        let (version, second) = (reply.first().copied(), reply.get(1).copied());
        let expected_version =
            if matches!(self.expected, Reply::Password) { PASSWORD_VERSION } else { VERSION };
        if version.is_some_and(|version| version != expected_version) {
            return Err(ProxyError::NotSocks);
        }
        let len = match (self.expected, second) {
            (Reply::Method, Some(NO_ACCEPTABLE_METHOD)) => {
                return Err(match self.password {
                    Some(_) => ProxyError::NoAcceptableMethod,
                    None => ProxyError::CredentialsMissing,
                });
            }
            (Reply::Method, Some(NO_AUTHENTICATION)) => 2,
            (Reply::Method, Some(USER_AND_PASSWORD)) if self.password.is_some() => 2,
            (Reply::Method, Some(_)) => {
                return Err(ProxyError::MalformedReply("a method that was not offered"));
            }
            (Reply::Password, Some(status)) if status != 0 => return Err(ProxyError::CredentialsRefused),
            (Reply::Method | Reply::Password, _) => 2,
            (Reply::Connect, Some(code)) if code != 0 => return Err(ProxyError::SocksRefused(code)),
            (Reply::Connect, _) => self.connect_reply_len()?,
        };
        Ok(len.saturating_sub(reply.len()))
    }

    /// Returns the length of the reply to the request for the connection, or of its known part. RFC 1928 section 6: version,
    /// code, a reserved byte, the kind of the address, the address and the port.
    fn connect_reply_len(&self) -> Result<usize, ProxyError> {
        /// Length of the beginning that has no address, and of the port.
        const FIXED: usize = 6;
        Ok(match (self.reply.get(3), self.reply.get(4)) {
            (None, _) => 4,
            (Some(&IPV4), _) => FIXED + 4,
            (Some(&IPV6), _) => FIXED + 16,
            (Some(&NAME), None) => 5,
            (Some(&NAME), Some(&len)) => usize::from(len).saturating_add(FIXED + 1),
            (Some(_), _) => return Err(ProxyError::MalformedReply("an unknown kind of address")),
        })
    }
}

/// Omits the requests, because they may contain credentials.
impl fmt::Debug for Socks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of {:?}", self.reply.len(), self.expected)
    }
}

fn password_request(credentials: &Credentials) -> Result<Vec<u8>, ProxyError> {
    let mut out = [PASSWORD_VERSION].to_vec();
    for part in [&credentials.user, &credentials.password] {
        // RFC 1929 2: one byte with the length, from 1 to 255. Servers accept an empty password.
        let len = u8::try_from(part.len())
            .map_err(|_| ProxyError::Unsendable("the user or the password has more than 255 bytes"))?;
        out.push(len);
        out.extend_from_slice(part);
    }
    if credentials.user.is_empty() {
        return Err(ProxyError::Unsendable("the user is empty"));
    }
    Ok(out)
}

fn connect_request(host: &str, port: u16) -> Result<Vec<u8>, ProxyError> {
    let mut out = [VERSION, CONNECT, 0].to_vec();
    match ip(host) {
        Some(IpAddr::V4(address)) => {
            out.push(IPV4);
            out.extend_from_slice(&address.octets());
        }
        Some(IpAddr::V6(address)) => {
            out.push(IPV6);
            out.extend_from_slice(&address.octets());
        }
        None => {
            let len = u8::try_from(host.len())
                .map_err(|_| ProxyError::Unsendable("the server's name has more than 255 bytes"))?;
            out.extend_from_slice(&[NAME, len]);
            out.extend_from_slice(host.as_bytes());
        }
    }
    out.extend_from_slice(&port.to_be_bytes());
    Ok(out)
}
