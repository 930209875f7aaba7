use alloc::{vec, vec::Vec};
use core::{mem, ops::Range};

use super::{
    HandshakeError,
    headers::{Field, Headers},
};
use crate::Config;

/// Collects a request's or response's head up to its blank line. Each byte is looked at once, whatever the
/// pieces that it comes in; limits hold before bytes are kept.
#[derive(Debug, Default)]
pub(super) struct HeadReader {
    bytes: Vec<u8>,
    line_start: usize,
    lines: usize,
}

impl HeadReader {
    /// Few heads have more bytes.
    const USUAL: usize = 1024;

    /// Takes bytes off `input` up to the end of the head; `None` asks for more.
    pub(super) fn receive(
        &mut self,
        input: &mut &mut [u8],
        config: &Config,
    ) -> Result<Option<Head>, HandshakeError> {
        if self.bytes.is_empty() {
            self.bytes.reserve_exact(input.len().min(Self::USUAL).min(config.max_head_size));
        }
        while !input.is_empty() {
            let line_end = find_line_feed(input).map(|at| at.saturating_add(1));
            let piece = mem::take(input);
            let (piece, rest) = piece.split_at_mut(line_end.unwrap_or(piece.len()));
            *input = rest;
            if self.bytes.len().saturating_add(piece.len()) > config.max_head_size {
                let limit = config.max_head_size;
                return Err(match self.lines {
                    0 => HandshakeError::FirstLineTooLong { limit },
                    _ => HandshakeError::HeadTooLarge { limit },
                });
            }
            self.bytes.extend_from_slice(piece);
            if line_end.is_some() && self.line_ended(config)? {
                let Self { bytes, lines, .. } = mem::take(self);
                return Ok(Some(Head { bytes, lines }));
            }
        }
        Ok(None)
    }

    /// Whether any byte has come.
    pub(super) fn has_begun(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Judges the line that has just ended, and tells whether it was the blank one.
    fn line_ended(&mut self, config: &Config) -> Result<bool, HandshakeError> {
        // RFC 9112 2.2 lets a recipient accept a bare LF; two that disagree about it can be played against
        // each other.
        let Some(line) = self.bytes.get(self.line_start..).and_then(|line| line.strip_suffix(b"\r\n")) else {
            return Err(HandshakeError::MalformedHead("a line does not end in CR LF"));
        };
        if line.is_empty() {
            return match self.lines {
                0 => Err(HandshakeError::MalformedHead("the first line is blank")),
                _ => Ok(true),
            };
        }
        // The first line is not a field.
        if self.lines > config.max_headers {
            return Err(HandshakeError::TooManyHeaders { limit: config.max_headers });
        }
        self.lines = self.lines.saturating_add(1);
        self.line_start = self.bytes.len();
        Ok(false)
    }
}

/// A head with its blank line.
pub(super) struct Head {
    bytes: Vec<u8>,
    /// How many lines it has: the first one and the fields.
    lines: usize,
}

pub(super) struct RequestHead {
    pub(super) method: Range<usize>,
    pub(super) target: Range<usize>,
    pub(super) headers: Headers,
}

pub(super) fn parse_request(head: Head) -> Result<RequestHead, HandshakeError> {
    let mut fields = vec![httparse::EMPTY_HEADER; head.lines];
    let head = head.bytes;
    let mut request = httparse::Request::new(&mut fields);
    if !request.parse(&head).map_err(malformed)?.is_complete() {
        return Err(HandshakeError::MalformedHead("it ends too early"));
    }
    if request.version != Some(1) {
        return Err(HandshakeError::MalformedHead("it is not HTTP/1.1"));
    }
    let method = range_in(&head, request.method.unwrap_or_default().as_bytes());
    let target = range_in(&head, request.path.unwrap_or_default().as_bytes());
    let fields = ranges(&head, request.headers);
    Ok(RequestHead { method, target, headers: Headers::received(head, fields) })
}

pub(super) fn parse_response(head: Head) -> Result<(u16, Headers), HandshakeError> {
    let mut fields = vec![httparse::EMPTY_HEADER; head.lines];
    let head = head.bytes;
    let mut response = httparse::Response::new(&mut fields);
    if !response.parse(&head).map_err(malformed)?.is_complete() {
        return Err(HandshakeError::MalformedHead("it ends too early"));
    }
    if response.version != Some(1) {
        return Err(HandshakeError::MalformedHead("it is not HTTP/1.1"));
    }
    let status = response.code.unwrap_or_default();
    let fields = ranges(&head, response.headers);
    Ok((status, Headers::received(head, fields)))
}

/// Where the first line feed is, looked for in blocks, which the compiler makes vector instructions of.
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

/// Where `part`, a slice of `head`, lies in it.
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
        httparse::Error::Version => "it is not HTTP/1.1",
    })
}
