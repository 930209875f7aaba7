use alloc::{collections::BTreeSet, vec::Vec};
use core::{fmt, ops::Range, str};

use super::HandshakeError;
use crate::excerpt::Excerpt;

/// The header fields of a request or response, in order. Names are case-insensitive.
///
/// ```
/// use ws_core::Headers;
///
/// let mut headers = Headers::default();
/// assert!(headers.push("X-Trace", "1a2b"));
/// assert_eq!(headers.get("x-trace"), Some("1a2b"));
/// assert!(!headers.push("X-Trace", "split\r\nhere"));
/// ```
#[derive(Clone, Default)]
pub struct Headers {
    /// Buffer that contains the names and values. For a received head, it is the whole head.
    bytes: Vec<u8>,
    fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

impl Headers {
    pub(super) fn received(head: Vec<u8>, fields: Vec<Field>) -> Self {
        Self { bytes: head, fields }
    }

    /// Appends a field. Returns `false` if the field is invalid: the name has to be a token, and the value must not
    /// contain control characters (RFC 9110 section 5).
    pub fn push(&mut self, name: &str, value: &str) -> bool {
        self.push_bytes(name, value.as_bytes())
    }

    /// Works as [`push`](Self::push), for a value that may not be UTF-8.
    pub(super) fn push_bytes(&mut self, name: &str, value: &[u8]) -> bool {
        let valid = is_token(name) && is_field_value(value);
        if valid {
            let name = self.append(name.as_bytes());
            let value = self.append(value.trim_ascii());
            self.fields.push(Field { name, value });
        }
        valid
    }

    /// Appends fields that another library has parsed.
    pub(super) fn extend<N: AsRef<str>, V: AsRef<[u8]>>(
        &mut self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), HandshakeError> {
        for (name, value) in fields {
            let (name, value) = (name.as_ref(), value.as_ref());
            if !self.push_bytes(name, value) {
                return Err(HandshakeError::MalformedHead(match is_token(name) {
                    false => "a header name is invalid",
                    true => "a header value is invalid",
                }));
            }
        }
        Ok(())
    }

    /// Returns the value of the first field of this name. Returns `None` if the field is missing, or if its value
    /// is not UTF-8. Use [`iter`](Self::iter) for values that are not UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next()
    }

    /// Returns the values of all fields of this name, except those that are not UTF-8.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values(name).filter_map(|value| str::from_utf8(value).ok())
    }

    /// Returns all fields in order, as name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| (self.text(&field.name), self.slice(&field.value)))
    }

    /// Returns the number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Returns `true` if there are no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let is_named = move |field: &&Field| self.slice(&field.name).eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().filter(is_named).map(|field| self.slice(&field.value))
    }

    /// Returns the number of fields of this name.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.values(name).count()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// Returns `true` if the comma-separated lists in the fields of this name contain `token`.
    pub(super) fn list_contains(&self, name: &str, token: &str) -> bool {
        self.values(name).any(|value| {
            // Most lists have one item.
            value.eq_ignore_ascii_case(token.as_bytes())
                || value
                    .split(|&byte| byte == b',')
                    .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        })
    }

    /// Appends all fields of `other`.
    pub(super) fn append_all(&mut self, other: &Self) {
        for field in &other.fields {
            let name = self.append(other.text(&field.name).as_bytes());
            let start = self.bytes.len();
            self.bytes.extend_from_slice(other.slice(&field.value));
            self.fields.push(Field { name, value: start..self.bytes.len() });
        }
    }

    /// Returns the fields with names that `other` does not contain.
    pub(super) fn missing_in(&self, other: &Self) -> Self {
        let mut missing = Self::default();
        for field in self.fields.iter().filter(|field| !other.contains(self.text(&field.name))) {
            let (name, value) = (
                missing.append(self.text(&field.name).as_bytes()),
                missing.append(self.text(&field.value).as_bytes()),
            );
            missing.fields.push(Field { name, value });
        }
        missing
    }

    /// Removes all fields of this name.
    pub(super) fn remove(&mut self, name: &str) {
        let mut fields = core::mem::take(&mut self.fields);
        fields.retain(|field| !self.text(&field.name).eq_ignore_ascii_case(name));
        self.fields = fields;
    }

    /// Sets the value of the first field of this name, or of a new one, to a part of the received head.
    pub(super) fn set(&mut self, name: &str, value: Range<usize>) {
        let place = self.fields.iter().position(|field| self.text(&field.name).eq_ignore_ascii_case(name));
        match place.and_then(|place| self.fields.get_mut(place)) {
            Some(field) => field.value = value,
            None => {
                let name = self.append(name.as_bytes());
                self.fields.push(Field { name, value });
            }
        }
    }

    /// Sets the value of the first field of this name, or of a new one.
    pub(super) fn replace(&mut self, name: &str, value: &str) {
        let value = self.append(value.as_bytes());
        self.set(name, value);
    }

    /// Returns a part of the received head.
    pub(super) fn text(&self, range: &Range<usize>) -> &str {
        str::from_utf8(self.slice(range)).unwrap_or_default()
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    /// Appends bytes that may be a part of a field, and returns their position.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}

/// Shows names and the beginnings of their values. Fields that look like secrets are omitted, because secrets do not
/// belong in a log.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| {
                (Excerpt(name.as_bytes()), Excerpt(if is_secret(name) { b".." } else { value }))
            }))
            .finish()
    }
}

/// Returns `true` if the name of this header indicates that its value is a credential.
pub(super) fn is_secret(name: &str) -> bool {
    const SECRET_NAME_PARTS: [&str; 8] =
        ["authorization", "cookie", "token", "secret", "password", "api-key", "apikey", "x-auth"];
    let name = name.to_ascii_lowercase();
    SECRET_NAME_PARTS.iter().any(|part| name.contains(part))
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

/// Maximum number of empty elements in a list, counted over all of its fields. RFC 9110 section 5.6.1.2: "a recipient
/// MUST parse and ignore a reasonable number of empty list elements".
pub(crate) const MAX_EMPTY_ELEMENTS: usize = 16;

/// Returns `true` for a `token` of RFC 9110 section 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

#[inline]
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// Returns `true` for a `field-value` of RFC 9110 section 5.5.
fn is_field_value(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7F))
}

/// Returns `true` if only the handshake itself may write this header.
pub(super) fn belongs_to_handshake(name: &str) -> bool {
    const OWN: [&str; 4] = ["Upgrade", "Connection", "Content-Length", "Transfer-Encoding"];
    let is_prefix =
        |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) || is_prefix("Sec-WebSocket-")
}

/// Returns `true` if these are tokens and all different (RFC 6455 section 4.1).
pub(super) fn are_subprotocols<'s>(names: impl IntoIterator<Item = &'s str>) -> bool {
    let mut seen = BTreeSet::new();
    names.into_iter().all(|name| is_token(name) && seen.insert(name))
}

/// Returns the value of a header that must appear exactly once.
pub(super) fn single<'h>(headers: &'h Headers, name: &'static str) -> Result<&'h str, HandshakeError> {
    let mut values = headers.values(name);
    let value = values.next().ok_or(HandshakeError::MissingHeader(name))?;
    if values.next().is_some() {
        return Err(HandshakeError::DuplicateHeader(name));
    }
    str::from_utf8(value).map_err(|_| HandshakeError::InvalidHeader(name))
}

/// Writes a `name: value` line.
pub(super) fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
