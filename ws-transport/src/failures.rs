use std::{
    fmt::Write as _,
    io::{self, ErrorKind},
    net::SocketAddr,
};

use ws_core::{HandshakeError, TimeoutKind};

use crate::{Error, error::is_end_of_stream};

/// The reasons why no address of a name could be used.
#[derive(Debug)]
pub struct AddressFailures {
    action: &'static str,
    text: String,
    last: Option<ErrorKind>,
    /// `true` if there are reasons of different kinds.
    is_mixed: bool,
}

impl AddressFailures {
    /// Creates an empty list for an action such as "connect to".
    #[must_use]
    pub const fn new(action: &'static str) -> Self {
        Self { action, text: String::new(), last: None, is_mixed: false }
    }

    /// Adds the reason for one address.
    pub fn add(&mut self, address: SocketAddr, error: &io::Error) {
        let separator = if self.last.is_some() { "; " } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{separator}cannot {} {address}: {error}", self.action);
        self.is_mixed |= self.last.is_some_and(|last| last != error.kind());
        self.last = Some(error.kind());
    }

    /// Returns the error of a client that could not connect to any address of a host, with the reason for each. If the
    /// operating system has given up waiting for all of them, that is a connect timeout, and if all were reset, an end of the
    /// stream during the opening handshake.
    #[must_use]
    pub fn into_connect_error(self, host: &str) -> Error {
        match self.last {
            None => Error::of_no_address(host),
            Some(ErrorKind::TimedOut) if !self.is_mixed => Error::Timeout(TimeoutKind::Connect),
            Some(kind) if is_end_of_stream(kind) && !self.is_mixed => Error::Handshake(HandshakeError::Eof),
            Some(kind) => io::Error::new(kind, self.text).into(),
        }
    }

    /// Returns an error with all reasons. If there was no address, its text is the result of `none`.
    #[must_use]
    pub fn into_error(self, none: impl FnOnce() -> String) -> io::Error {
        match self.last {
            Some(kind) => io::Error::new(kind, self.text),
            None => io::Error::new(ErrorKind::NotFound, none()),
        }
    }
}
