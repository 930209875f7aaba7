//! Substitute for the extension modules when the feature `deflate` is disabled.

use alloc::{string::String, vec::Vec};

use super::header;
use crate::{Config, HandshakeError, Headers, ProtocolError, Role};

/// An uninhabited type, because nothing can be agreed on.
pub(crate) enum Agreed {}

impl Agreed {
    pub(crate) fn codecs(self, _role: Role, _config: &Config) -> (Compressor, Inflater) {
        match self {}
    }
}

#[derive(Debug)]
pub(crate) enum Compressor {}

impl Compressor {
    pub(crate) fn is_worth(&self, _len: usize) -> bool {
        match *self {}
    }

    pub(crate) fn compress(&mut self, _payload: &[u8]) -> Vec<u8> {
        match *self {}
    }

    pub(crate) fn compress_chunk(&mut self, _payload: &[u8], _last: bool) -> Vec<u8> {
        match *self {}
    }

    pub(crate) fn keeps_context(&self) -> bool {
        match *self {}
    }

    pub(crate) fn release(&mut self) {
        match *self {}
    }
}

#[derive(Debug)]
pub(crate) enum Inflater {}

#[derive(Debug)]
pub(crate) struct Quota;

impl Quota {
    /// Any value: nothing is inflated.
    pub(crate) const MAX_COMPRESSED: usize = 1;

    pub(crate) const fn new() -> Self {
        Self
    }
}

/// An uninhabited type, because nothing is inflated.
pub(crate) struct Inflated {
    pub(crate) consumed: usize,
    pub(crate) finished: bool,
    _never: Inflater,
}

impl Inflater {
    pub(crate) const fn memory_of_message(&self) -> usize {
        match *self {}
    }

    pub(crate) fn inflate(
        &mut self,
        _piece: &[u8],
        _last: bool,
        _limit: usize,
        _announced: u64,
        _quota: &mut Quota,
        _take: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<Inflated, ProtocolError> {
        match *self {}
    }
}

pub(crate) fn accept(
    headers: &Headers,
    _config: &Config,
) -> Result<Option<(Agreed, String)>, HandshakeError> {
    header::parse(headers).map(|_| None)
}

pub(crate) fn offer(_config: &Config) -> Option<String> {
    None
}

pub(crate) fn confirm(headers: &Headers, _config: &Config) -> Result<Option<Agreed>, HandshakeError> {
    if header::parse(headers)?.is_empty() { Ok(None) } else { Err(HandshakeError::UnofferedExtension) }
}
