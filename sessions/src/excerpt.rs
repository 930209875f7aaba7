use std::fmt;

/// Text of a peer or of the application in `Debug` output: at most its beginning, so that a log line stays a line.
pub(crate) struct Excerpt<'a>(pub(crate) &'a str);

impl Excerpt<'_> {
    /// Number of characters that are shown.
    const SHOWN: usize = 64;
}

impl fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(Self::SHOWN) {
            Some((end, _)) => write!(f, "{:?}.. {} bytes", &self.0[..end], self.0.len()),
            None => write!(f, "{:?}", self.0),
        }
    }
}
