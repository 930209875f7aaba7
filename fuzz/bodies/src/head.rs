//! A slow and strict parser of HTTP heads (RFC 9112 sections 2 to 5), for comparison.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

/// A parsed head: its first line, and fields with names in lower case.
pub(crate) struct Head<'h> {
    pub(crate) first: &'h [u8],
    fields: Vec<(String, &'h [u8])>,
}

impl<'h> Head<'h> {
    /// Parses the head at the start of `bytes`. Returns it and the bytes that follow. Returns `None` if a rule is
    /// broken or the end is missing.
    pub(crate) fn parse(bytes: &'h [u8]) -> Option<(Self, &'h [u8])> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let rest = &bytes[end + 4..];
        let mut lines = Vec::new();
        let mut left = &bytes[..end + 2];
        while let Some(at) = left.windows(2).position(|window| window == b"\r\n") {
            lines.push(&left[..at]);
            left = &left[at + 2..];
        }
        if lines.iter().any(|line| line.contains(&b'\n') || line.contains(&b'\r') || line.contains(&0)) {
            return None;
        }
        let (first, lines) = lines.split_first()?;
        let fields: Option<Vec<_>> = lines.iter().map(|line| field(line)).collect();
        Some((Self { first, fields: fields? }, rest))
    }

    pub(crate) fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'h [u8]> + 's {
        self.fields.iter().filter(move |field| field.0 == name).map(|field| field.1)
    }

    /// Returns the value of a field that occurs exactly once.
    pub(crate) fn single(&self, name: &str) -> Option<&'h [u8]> {
        let mut values = self.values(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Returns the elements of the lists in all fields of this name.
    pub(crate) fn list(&self, name: &str) -> Vec<&'h [u8]> {
        self.values(name).flat_map(|value| value.split(|byte| *byte == b',')).map(trimmed).collect()
    }

    pub(crate) fn lists(&self, name: &str, element: &str) -> bool {
        self.list(name).iter().any(|found| found.eq_ignore_ascii_case(element.as_bytes()))
    }

    /// Returns `true` if the head has no other fields.
    pub(crate) fn has_only(&self, names: &[&str]) -> bool {
        self.fields.iter().all(|field| names.contains(&&field.0[..]))
    }

    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }
}

fn field(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], trimmed(&line[colon + 1..]));
    let name = std::str::from_utf8(name).ok().filter(|name| is_token(name.as_bytes()))?;
    let is_legal = value.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7F));
    is_legal.then(|| (name.to_ascii_lowercase(), value))
}

fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

pub(crate) fn is_token(bytes: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_tchar)
}

/// Returns the accept value for a key (RFC 6455 4.2.2, item 5.4).
pub(crate) fn accept_value(key: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finalize())
}
