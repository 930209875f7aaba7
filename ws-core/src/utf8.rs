//! UTF-8 validation of a whole text or of its pieces (RFC 6455 section 8.1).

use core::fmt;

use ascii::AsAsciiStr;

use crate::{ProtocolError, excerpt::Excerpt};

/// Returns `bytes` as text.
#[inline]
pub(crate) fn validate(bytes: &[u8]) -> Result<&str, ProtocolError> {
    #[cfg(feature = "std")]
    if bytes.len() >= 64 {
        return simdutf8::basic::from_utf8(bytes).map_err(|_| ProtocolError::InvalidUtf8);
    }
    // Most short texts are ASCII, and checking for ASCII takes a third of the time.
    match bytes.as_ascii_str() {
        Ok(text) => Ok(text.as_str()),
        Err(_) => core::str::from_utf8(bytes).map_err(|_| ProtocolError::InvalidUtf8),
    }
}

/// An incremental UTF-8 decoder. It fails in the first piece that makes the text invalid, regardless of the following
/// pieces. It keeps at most the first three bytes of a character.
///
/// ```
/// use ws_core::Utf8Decoder;
///
/// let mut decoder = Utf8Decoder::default();
/// assert_eq!(decoder.decode(b"gr\xc3")?, (None, "gr"));
/// assert_eq!(decoder.decode(b"\xbc\xc3\x9fe")?, (Some('ü'), "ße"));
/// assert!(decoder.is_complete());
/// // A surrogate is detected at its second byte.
/// assert!(decoder.decode(b"\xed\xa0").is_err());
/// # Ok::<(), ws_core::ProtocolError>(())
/// ```
#[derive(Clone, Default)]
pub struct Utf8Decoder {
    pending: [u8; 4],
    len: u8,
}

/// Shows the bytes of the incomplete character.
impl fmt::Debug for Utf8Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending = self.pending.get(..usize::from(self.len)).unwrap_or_default();
        f.debug_struct("Utf8Decoder").field("pending", &Excerpt(pending)).finish()
    }
}

impl Utf8Decoder {
    /// Decodes the next piece of the text. Returns the character that the first bytes of the piece complete, if an
    /// earlier piece began one, and the text after it. If the piece ends within a character, the beginning of that
    /// character is kept.
    ///
    /// # Errors
    ///
    /// Returns [`ProtocolError::InvalidUtf8`] if no continuation can make the text valid.
    #[inline]
    pub fn decode<'p>(&mut self, mut piece: &'p [u8]) -> Result<(Option<char>, &'p str), ProtocolError> {
        let mut completed = None;
        while self.len > 0 && completed.is_none() {
            let Some((&byte, rest)) = piece.split_first() else { return Ok((None, "")) };
            piece = rest;
            completed = self.push(byte)?;
        }
        let (text, begun) = split_begun_character(piece);
        let text = validate(text)?;
        for &byte in begun {
            self.push(byte)?;
        }
        Ok((completed, text))
    }

    /// Returns `true` if the text so far ends with a complete character.
    #[must_use]
    #[inline]
    pub fn is_complete(&self) -> bool {
        self.len == 0
    }

    /// Adds one byte to the incomplete character. Returns the character once it is complete.
    fn push(&mut self, byte: u8) -> Result<Option<char>, ProtocolError> {
        let len = usize::from(self.len);
        let Some(place) = self.pending.get_mut(len) else { return Err(ProtocolError::InvalidUtf8) };
        *place = byte;
        match core::str::from_utf8(self.pending.get(..=len).unwrap_or_default()) {
            Ok(text) => {
                self.len = 0;
                Ok(text.chars().next())
            }
            // Without `error_len`, more bytes can still complete the character.
            Err(error) if error.error_len().is_none() => {
                self.len = self.len.wrapping_add(1);
                Ok(None)
            }
            Err(_) => Err(ProtocolError::InvalidUtf8),
        }
    }
}

/// Splits off the last bytes, at most three, if their number shows that they are the beginning of an incomplete
/// character. The caller checks that these bytes are valid.
#[inline]
fn split_begun_character(bytes: &[u8]) -> (&[u8], &[u8]) {
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len().saturating_sub(back);
        let Some((head, tail)) = bytes.split_at_checked(at) else { break };
        let Some(&lead) = tail.first() else { break };
        let width = match lead {
            0x80..=0xBF => continue,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
            _ => 1,
        };
        return if width > back { (head, tail) } else { (bytes, &[]) };
    }
    (bytes, &[])
}
