//! Compression of messages (RFC 7692 section 7.2).

use alloc::{sync::Arc, vec::Vec};
use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flate2::{Compress, Compression, FlushCompress};
use zlib_rs::Inflate;

use super::negotiation::Direction;

/// The last bytes of every compressed message, which are not transmitted (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Settings for the compression of messages: permessage-deflate (RFC 7692).
///
/// Messages are compressed only if both ends agree. An end with "no context takeover" keeps no context between
/// messages. Its compressors and inflaters are shared by all connections of one [`Config`](crate::Config), and an
/// idle connection has none. An end with context takeover needs a compressor for each connection that has compressed
/// something, about 370 KiB with the largest window, and an inflater for each connection that has received something
/// compressed, about 46 KiB.
///
/// Do not compress secrets together with data that an attacker chooses: the length of the result reveals information
/// about the secret, even through TLS. [`set_compression`](crate::Connection::set_compression) disables compression
/// for single messages.
///
/// ```
/// use ws_core::{Config, Deflate};
///
/// let mut config = Config::default();
/// config.deflate = Some(Deflate::default());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deflate {
    /// Compression level from 1 (fast) to 9 (small). Default: 6.
    pub level: u8,
    /// Minimum size in bytes of a message that is compressed. Default: 128.
    pub threshold: usize,
    /// `true` if the server's compressor may refer to earlier messages. This makes similar messages smaller and costs
    /// a compressor for each connection of the server. A client prefers a server without context takeover, but also
    /// connects to one with it. Default: `false`.
    pub server_context_takeover: bool,
    /// `true` if the client's compressor may refer to earlier messages. This costs a compressor for each connection
    /// of the client, and an inflater for each connection of the server. Default: `true`.
    pub client_context_takeover: bool,
    /// Size of the server's window as a power of two from 9 to 15. Default: 15.
    pub server_max_window_bits: u8,
    /// Size of the client's window as a power of two from 9 to 15. Default: 15.
    pub client_max_window_bits: u8,
    /// `true` if a compressor with a context is dropped when the connection is idle, which is checked with every
    /// keepalive ping. The next message then begins without a context. Default: `false`.
    pub release_when_idle: bool,
    /// Maximum ratio of a message's size to its compressed size, as a defence against decompression bombs. Sizes up
    /// to 64 KiB are always accepted. The compressed size is the sum that the headers of the frames have announced so
    /// far. Default: no limit except [`max_message_size`](crate::Config::max_message_size).
    pub max_ratio: Option<u32>,
    pub(super) pool: CodecPool,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            level: 6,
            threshold: 128,
            server_context_takeover: false,
            client_context_takeover: true,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
            release_when_idle: false,
            max_ratio: None,
            pool: CodecPool::default(),
        }
    }
}

/// Pool of codecs, with their windows, for connections that keep no context between messages.
#[derive(Clone, Default)]
pub(super) struct CodecPool(Arc<Mutex<Codecs>>);

#[derive(Default)]
struct Codecs {
    /// Compressors with their level and window. The most recently used one is the last.
    compressors: Vec<(u8, u8, Compress)>,
    /// Inflaters with the largest window, which also serves all smaller ones.
    inflaters: Vec<Inflate>,
}

impl CodecPool {
    /// Maximum number of pooled codecs of each kind. It is about the number of threads that use them at a time.
    const MAX_POOLED: usize = 16;

    fn lock(&self) -> MutexGuard<'_, Codecs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compressor(&self, level: u8, bits: u8) -> Option<Compress> {
        let compressors = &mut self.lock().compressors;
        let at = compressors
            .iter()
            .rposition(|&(has_level, has_bits, _)| (has_level, has_bits) == (level, bits))?;
        Some(compressors.remove(at).2)
    }

    /// Keeps a compressor, and drops the least recently used one if the pool is full. Peers choose the window sizes,
    /// so without this the first compressors would stay for ever.
    fn keep_compressor(&self, level: u8, bits: u8, codec: Compress) {
        let compressors = &mut self.lock().compressors;
        if compressors.len() >= Self::MAX_POOLED {
            compressors.remove(0);
        }
        compressors.push((level, bits, codec));
    }

    pub(super) fn inflater(&self) -> Option<Inflate> {
        self.lock().inflaters.pop()
    }

    pub(super) fn keep_inflater(&self, codec: Inflate) {
        let inflaters = &mut self.lock().inflaters;
        if inflaters.len() < Self::MAX_POOLED {
            inflaters.push(codec);
        }
    }
}

impl fmt::Debug for CodecPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodecPool(..)")
    }
}

/// Two equal configurations compare as equal, regardless of the codecs in their pools.
impl PartialEq for CodecPool {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for CodecPool {}

/// Compresses the messages of one end.
#[derive(Debug)]
pub(crate) struct Compressor {
    direction: Direction,
    settings: Deflate,
    /// Created for the first message. Between messages it is stored here only if it keeps its context.
    codec: Option<Compress>,
    /// Compressed size of the last message in bytes. The next one is likely to be similar.
    last_size: usize,
    enabled: bool,
}

impl Compressor {
    pub(super) fn new(direction: Direction, settings: Deflate) -> Self {
        Self { direction, settings, codec: None, last_size: 0, enabled: true }
    }

    pub(crate) fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Returns `true` if a message of this length should be compressed.
    #[inline]
    pub(crate) fn is_worth(&self, len: usize) -> bool {
        // If an end agreed to a window that the codec does not support, it honours the agreement by sending
        // uncompressed messages.
        self.enabled && len >= self.settings.threshold && self.direction.window_bits >= 9
    }

    pub(crate) fn keeps_context(&self) -> bool {
        self.direction.context_takeover
    }

    /// Returns the parameters of the compressor if the compressed message depends on nothing else.
    pub(crate) fn shared_parameters(&self) -> Option<(u8, u8)> {
        (!self.keeps_context()).then_some((self.settings.level, self.direction.window_bits))
    }

    /// Compresses a whole message.
    pub(crate) fn compress(&mut self, payload: &[u8]) -> Vec<u8> {
        self.compress_chunk(payload, true)
    }

    /// Compresses a chunk of a message. The last chunk ends the message.
    pub(crate) fn compress_chunk(&mut self, payload: &[u8], last: bool) -> Vec<u8> {
        let (level, bits) = (self.settings.level, self.direction.window_bits);
        let mut codec =
            self.codec.take().or_else(|| self.settings.pool.compressor(level, bits)).unwrap_or_else(|| {
                Compress::new_with_window_bits(
                    Compression::new(u32::from(level.clamp(1, 9))),
                    false,
                    bits.clamp(9, 15),
                )
            });
        let likely = self.last_size.saturating_add(self.last_size / 4).min(payload.len());
        let mut out = Vec::with_capacity(likely.max(payload.len() / 16).saturating_add(64));
        let mut rest = payload;
        loop {
            let before = codec.total_in();
            // It fails only if the state of the codec is invalid, which no input can cause.
            let status = codec.compress_vec(rest, &mut out, FlushCompress::Sync);
            let consumed = usize::try_from(codec.total_in().saturating_sub(before)).unwrap_or(rest.len());
            rest = rest.get(consumed..).unwrap_or_default();
            // The flush is complete when it leaves space.
            if status.is_err() || (rest.is_empty() && out.len() < out.capacity()) {
                break;
            }
            out.reserve(out.capacity().max(64));
        }
        self.last_size = out.len();
        if last {
            if out.ends_with(&TAIL) {
                out.truncate(out.len().saturating_sub(TAIL.len()));
            }
            if out.is_empty() {
                // RFC 7692 7.2.3.6: an empty message, or one with pieces that were all flushed before.
                out.push(0);
            }
        }
        if self.direction.context_takeover || !last {
            self.codec = Some(codec);
        } else {
            codec.reset();
            self.settings.pool.keep_compressor(level, bits, codec);
        }
        out
    }

    pub(crate) fn release(&mut self) {
        if self.settings.release_when_idle && self.direction.context_takeover {
            self.codec = None;
        }
    }
}
