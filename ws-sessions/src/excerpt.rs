use std::fmt;

/// Text of a peer or of the application in `Debug` output. Long text is cut, so that it fits into one line of a log.
pub(crate) struct TextExcerpt<'a>(pub(crate) &'a str);

impl TextExcerpt<'_> {
    /// Maximum number of characters in the output.
    const MAX_SHOWN: usize = 64;
}

impl fmt::Debug for TextExcerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(Self::MAX_SHOWN) {
            Some((end, _)) => write!(f, "{:?}.. {} bytes", &self.0[..end], self.0.len()),
            None => write!(f, "{:?}", self.0),
        }
    }
}
