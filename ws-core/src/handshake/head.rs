use alloc::{string::String, vec, vec::Vec};
use core::{fmt, mem, ops::Range};

use super::{
    HandshakeError,
    headers::{Field, Headers},
};
use crate::HandshakeConfig;

/// Collects the head of a request or response up to its blank line. Each byte is examined once, regardless of the
/// pieces in which it arrives. Limits apply before bytes are kept.
#[derive(Default)]
pub(super) struct HeadReader {
    bytes: Vec<u8>,
    /// Position up to which line ends were searched.
    searched: usize,
    line_start: usize,
    lines: usize,
    /// `true` if an empty line before the first one is skipped.
    skips_empty_line: bool,
    /// `true` if the head is a response.
    is_response: bool,
}

impl HeadReader {
    /// Number of bytes that are taken at once. Few heads have more bytes.
    const FIRST_READ: usize = 1024;

    /// Creates a reader of a request. RFC 9112 section 2.2: a server "SHOULD ignore at least one empty line (CRLF)
    /// received prior to the request-line". Old clients send one after the body of their previous request.
    pub(super) fn for_request() -> Self {
        Self { skips_empty_line: true, ..Self::default() }
    }

    /// Creates a reader of a response.
    pub(super) fn for_response() -> Self {
        Self { is_response: true, ..Self::default() }
    }

    /// Takes bytes off `input` up to the end of the head. Returns `None` if more bytes are needed.
    pub(super) fn receive(
        &mut self,
        input: &mut &mut [u8],
        config: &HandshakeConfig,
    ) -> Result<Option<RawHead>, HandshakeError> {
        let limit = config.max_head_size;
        while !input.is_empty() {
            let before = self.bytes.len();
            let len = input.len().min(Self::FIRST_READ).min(limit.saturating_sub(before));
            if len == 0 {
                return Err(match self.lines {
                    0 => HandshakeError::FirstLineTooLong { limit },
                    _ => HandshakeError::HeadTooLarge { limit },
                });
            }
            if before == 0 {
                self.bytes.reserve_exact(len);
            }
            self.bytes.extend_from_slice(input.get(..len).unwrap_or_default());
            if self.lines == 0 {
                self.judge_beginning()?;
            }
            while let Some(end) = self.next_line_end() {
                if self.line_ended(end, config)? {
                    // The remaining bytes do not belong to the head.
                    let _ = input.split_off_mut(..end.saturating_sub(before));
                    let next = Self { is_response: self.is_response, ..Self::default() };
                    let Self { mut bytes, lines, .. } = mem::replace(self, next);
                    bytes.truncate(end);
                    return Ok(Some(RawHead { bytes, lines }));
                }
            }
            let _ = input.split_off_mut(..len);
        }
        Ok(None)
    }

    /// Returns `true` if any byte has arrived, apart from an empty line that is skipped.
    pub(super) fn has_begun(&self) -> bool {
        self.lines > 0 || self.bytes.len() > self.line_start
    }

    /// Recognises other protocols by the first bytes, as soon as there are enough of them for the same result and
    /// text regardless of how they are split.
    fn judge_beginning(&self) -> Result<(), HandshakeError> {
        /// Number of bytes that are enough for the text of another protocol.
        const MIN_PREFIX: usize = 64;
        let beginning = self.bytes.get(self.line_start..).unwrap_or_default();
        // RFC 8446 5.1: an alert or a handshake message. The major version is 3 in all versions of TLS.
        if let [0x15 | 0x16, 0x03, ..] = beginning {
            return Err(HandshakeError::TlsRecord);
        }
        let is_enough = beginning.len() >= MIN_PREFIX || beginning.contains(&b'\n');
        self.foreign_protocol().filter(|_| is_enough).map_or(Ok(()), Err)
    }

    /// Returns the error for a response that does not begin like HTTP.
    pub(super) fn foreign_protocol(&self) -> Option<HandshakeError> {
        const HTTP: &[u8] = b"HTTP/";
        /// Maximum number of bytes that are kept.
        const MAX_SHOWN: usize = 64;
        let begun = self.bytes.get(..HTTP.len()).unwrap_or(&self.bytes);
        let is_http = HTTP.get(..begun.len()).is_some_and(|http| http.eq_ignore_ascii_case(begun));
        // A blank line is a malformed head.
        if !self.is_response || self.lines > 0 || is_http || matches!(*begun, [b'\r' | b'\n', ..]) {
            return None;
        }
        let line = self.bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let beginning = String::from_utf8_lossy(line.get(..MAX_SHOWN).unwrap_or(line));
        Some(HandshakeError::NotHttp { beginning: beginning.into_owned().into_boxed_str() })
    }

    /// Returns the end of the next line, including its line feed.
    fn next_line_end(&mut self) -> Option<usize> {
        let found = find_line_feed(self.bytes.get(self.searched..)?);
        let end = found.map(|at| self.searched.saturating_add(at).saturating_add(1));
        self.searched = end.unwrap_or(self.bytes.len());
        end
    }

    /// Validates the line that ends at `end`. Returns `true` if it is the blank line.
    fn line_ended(&mut self, end: usize, config: &HandshakeConfig) -> Result<bool, HandshakeError> {
        // RFC 9112 2.2 lets a recipient accept a bare LF. An attacker can exploit two recipients that disagree about
        // it.
        let line = self.bytes.get(self.line_start..end).and_then(|line| line.strip_suffix(b"\r\n"));
        let Some(line) = line else {
            return Err(HandshakeError::MalformedHead("a line does not end in CR LF"));
        };
        if line.is_empty() {
            if self.lines > 0 {
                return Ok(true);
            }
            if !mem::take(&mut self.skips_empty_line) {
                return Err(HandshakeError::MalformedHead("the first line is blank"));
            }
            self.line_start = end;
            return self.judge_beginning().map(|()| false);
        }
        // The first line is not a field.
        if self.lines > config.max_headers {
            return Err(HandshakeError::TooManyHeaders { limit: config.max_headers });
        }
        self.lines = self.lines.saturating_add(1);
        self.line_start = end;
        Ok(false)
    }
}

/// Shows sizes only, because the bytes may contain cookies and credentials.
impl fmt::Debug for HeadReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes in {} lines", self.bytes.len(), self.lines)
    }
}

/// A head with its blank line.
pub(super) struct RawHead {
    bytes: Vec<u8>,
    /// Number of lines: the first one and the fields.
    lines: usize,
}

pub(super) struct RequestHead {
    pub(super) method: Range<usize>,
    pub(super) target: Range<usize>,
    pub(super) version: Version,
    pub(super) headers: Headers,
}

/// The version of HTTP of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http10,
    Http11,
    /// HTTP/2 or HTTP/3. Another library has parsed the request.
    Http2,
}

pub(super) fn parse_request(head: RawHead) -> Result<RequestHead, HandshakeError> {
    let mut fields = vec![httparse::EMPTY_HEADER; head.lines];
    let head = head.bytes;
    let mut request = httparse::Request::new(&mut fields);
    if !request.parse(&head).map_err(malformed)?.is_complete() {
        return Err(HandshakeError::MalformedHead("it ends too early"));
    }
    let version = if request.version == Some(1) { Version::Http11 } else { Version::Http10 };
    let method = range_in(&head, request.method.unwrap_or_default().as_bytes());
    let target = range_in(&head, request.path.unwrap_or_default().as_bytes());
    let fields = ranges(&head, request.headers);
    Ok(RequestHead { method, target, version, headers: Headers::received(head, fields) })
}

pub(super) fn parse_response(head: RawHead) -> Result<(u16, Headers), HandshakeError> {
    let mut fields = vec![httparse::EMPTY_HEADER; head.lines];
    let mut head = head.bytes;
    let minor_version = take_minor_version(&mut head);
    let mut response = httparse::Response::new(&mut fields);
    if !response.parse(&head).map_err(malformed)?.is_complete() {
        return Err(HandshakeError::MalformedHead("it ends too early"));
    }
    let status = response.code.unwrap_or_default();
    // RFC 9110 7.8: only HTTP/1.1 can upgrade. A refusal means the same in every version.
    if status == 101 && minor_version != Some(1) {
        return Err(HandshakeError::MalformedHead("it switches protocols in a version other than HTTP/1.1"));
    }
    let fields = ranges(&head, response.headers);
    Ok((status, Headers::received(head, fields)))
}

/// Returns the minor version of a status line and replaces it with 1, because the parser accepts only 0 and 1. RFC
/// 9110 section 2.5: a recipient processes a message of a higher minor version as if it were of its own.
fn take_minor_version(head: &mut [u8]) -> Option<u8> {
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', digit @ b'0'..=b'9', ..] = head else { return None };
    Some(mem::replace(digit, b'1').saturating_sub(b'0'))
}

/// Returns the position of the first line feed. The search works in blocks, for which the compiler uses vector
/// instructions.
fn find_line_feed(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 16;
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let without =
        blocks.iter().take_while(|block| !block.iter().fold(false, |found, &byte| found | (byte == b'\n')));
    let start = without.count().saturating_mul(BLOCK);
    let at = bytes.get(start..)?.iter().position(|&byte| byte == b'\n')?;
    Some(start.saturating_add(at))
}

fn ranges(head: &[u8], fields: &[httparse::Header<'_>]) -> Vec<Field> {
    fields
        .iter()
        .map(|field| Field {
            name: range_in(head, field.name.as_bytes()),
            value: range_in(head, field.value),
        })
        .collect()
}

/// Returns the position of `part`, a slice of `head`, in `head`.
fn range_in(head: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(head.as_ptr().addr());
    start..start.saturating_add(part.len())
}

fn malformed(error: httparse::Error) -> HandshakeError {
    HandshakeError::MalformedHead(match error {
        httparse::Error::HeaderName => "a header name is invalid",
        httparse::Error::HeaderValue => "a header value is invalid",
        httparse::Error::NewLine => "a line break is invalid",
        httparse::Error::Status => "the status is invalid",
        httparse::Error::Token => "the first line is invalid",
        httparse::Error::TooManyHeaders => "there are too many headers",
        httparse::Error::Version => "it is neither HTTP/1.0 nor HTTP/1.1",
    })
}
