use std::{
    fmt::Write as _,
    io::{self, ErrorKind},
    net::SocketAddr,
};

/// The reasons why none of the addresses of a name could be used.
#[derive(Debug)]
pub struct AddressFailures {
    action: &'static str,
    text: String,
    last: Option<ErrorKind>,
}

impl AddressFailures {
    /// Creates an empty list for an action such as "connect to".
    #[must_use]
    pub const fn new(action: &'static str) -> Self {
        Self { action, text: String::new(), last: None }
    }

    /// Adds the reason for one address.
    pub fn add(&mut self, address: SocketAddr, error: &io::Error) {
        let separator = if self.last.is_some() { "; " } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{separator}cannot {} {address}: {error}", self.action);
        self.last = Some(error.kind());
    }

    /// Returns the kind of the last reason.
    #[must_use]
    pub const fn last(&self) -> Option<ErrorKind> {
        self.last
    }

    /// Returns an error with all reasons, or with `none` if there was no address.
    #[must_use]
    pub fn into_error(self, none: impl FnOnce() -> String) -> io::Error {
        match self.last {
            Some(kind) => io::Error::new(kind, self.text),
            None => io::Error::new(ErrorKind::NotFound, none()),
        }
    }
}
