use core::{fmt, str};

/// Payload in `Debug` output, as a string if it is text and as a byte string otherwise. Only the first bytes are
/// shown, so that a log entry fits on one line.
pub(crate) struct Excerpt<'a>(pub(crate) &'a [u8]);

impl Excerpt<'_> {
    /// Number of bytes that are shown.
    const MAX_SHOWN: usize = 64;
}

impl fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..Self::MAX_SHOWN).unwrap_or(self.0);
        match str::from_utf8(shown) {
            Ok(text) => write!(f, "{text:?}")?,
            // The cut lies within a character.
            Err(error) if error.error_len().is_none() && shown.len() < self.0.len() => {
                let text = shown.get(..error.valid_up_to()).unwrap_or_default();
                write!(f, "{:?}", str::from_utf8(text).unwrap_or_default())?;
            }
            Err(_) => write!(f, "b\"{}\"", shown.escape_ascii())?,
        }
        if shown.len() < self.0.len() {
            write!(f, ".. {} bytes", self.0.len())?;
        }
        Ok(())
    }
}

/// A list in `Debug` output: its first entries and its length.
#[cfg(feature = "testing")]
pub(crate) struct Beginning<'a, T>(pub(crate) &'a [T]);

#[cfg(feature = "testing")]
impl<T> Beginning<'_, T> {
    /// Number of entries that are shown.
    const MAX_SHOWN: usize = 3;
}

#[cfg(feature = "testing")]
impl<T: fmt::Debug> fmt::Debug for Beginning<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..Self::MAX_SHOWN).unwrap_or(self.0);
        f.debug_list().entries(shown).finish()?;
        if shown.len() < self.0.len() {
            write!(f, ".. {} in all", self.0.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

    use super::*;

    #[test]
    fn a_payload_is_shown_as_a_string_and_cut() {
        for (payload, shown) in [
            (&b""[..], "\"\""),
            (b"Hello", "\"Hello\""),
            ("Gr\u{fc}\u{df}e\n".as_bytes(), "\"Gr\u{fc}\u{df}e\\n\""),
            (b"\xFF\0a\"", "b\"\\xff\\x00a\\\"\""),
            (b"cut \xC3", "b\"cut \\xc3\""),
        ] {
            assert_eq!(format!("{:?}", Excerpt(payload)), shown);
        }
        let long = vec![b'a'; 1 << 20];
        assert_eq!(format!("{:?}", Excerpt(&long)), format!("\"{}\".. 1048576 bytes", "a".repeat(64)));
        let umlauts = "a\u{fc}".repeat(100);
        assert_eq!(
            format!("{:?}", Excerpt(umlauts.as_bytes())),
            format!("\"{}a\".. 300 bytes", "a\u{fc}".repeat(21))
        );
        assert!(format!("{:?}", Excerpt(&vec![0xFF; 1 << 20])).len() < 300);
    }
}
