//! Compression of messages (RFC 7692 section 7.2).

use alloc::{sync::Arc, vec::Vec};
use core::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flate2::{Compress, Compression, FlushCompress};
use zlib_rs::Inflate;

use super::negotiation::Direction;

/// What every compressed message ends with and none carries (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Whether and how to compress messages: permessage-deflate (RFC 7692).
///
/// Nothing is compressed unless both ends agree. Where an end keeps no context from one message to the
/// next ('no context takeover'), compressors and inflaters are shared by all connections of one
/// [`Config`](crate::Config), and an idle connection has none; where it keeps its context, each connection
/// that has compressed something costs a compressor, about 370 KiB with the largest window, and each that
/// has received something compressed an inflater, about 46 KiB.
///
/// Do not compress secrets together with what an attacker chooses: the length of the result tells about
/// the secret, also through TLS. [`set_compression`](crate::Connection::set_compression) switches it off
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
    /// How hard to try, from 1 (fast) to 9 (small); 6.
    pub level: u8,
    /// Messages of fewer bytes are sent as they are; 128.
    pub threshold: usize,
    /// Whether the server's compressor may refer to earlier messages; no. It makes messages that are like
    /// each other smaller and costs a compressor for each connection of the server. A client prefers a server that
    /// does not, but also connects to one that does.
    pub server_context_takeover: bool,
    /// Whether the client's compressor may refer to earlier messages; yes. It costs a compressor for each
    /// connection of the client, and an inflater for each of the server.
    pub client_context_takeover: bool,
    /// The server's window, as a power of two from 9 to 15; 15.
    pub server_max_window_bits: u8,
    /// The client's window, as a power of two from 9 to 15; 15.
    pub client_max_window_bits: u8,
    /// Whether a compressor with a context is dropped when the connection is idle, which is looked at with
    /// every keepalive ping; no. The next message then begins without a context.
    pub release_when_idle: bool,
    /// Maximum ratio of a message's size to its compressed size. Sizes up to 64 KiB pass in any case. The compressed size
    /// is the sum that the headers of its frames have announced so far. Default: no limit but
    /// [`max_message_size`](crate::Config::max_message_size).
    pub max_ratio: Option<u32>,
    pub(super) pool: Pool,
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
            pool: Pool::default(),
        }
    }
}

/// Codecs between two messages of connections that keep no context, with their windows.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Codecs>>);

#[derive(Default)]
struct Codecs {
    /// With their level and window, those used last at the end.
    compressors: Vec<(u8, u8, Compress)>,
    /// With the largest window, which serves for all smaller ones.
    inflaters: Vec<Inflate>,
}

impl Pool {
    /// How many of each are kept; about as many as threads use at a time.
    const KEPT: usize = 16;

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

    /// Keeps a compressor, and drops the least recently used one if the pool is full: peers choose the window sizes, so the
    /// first ones would otherwise stay for ever.
    fn keep_compressor(&self, level: u8, bits: u8, codec: Compress) {
        let compressors = &mut self.lock().compressors;
        if compressors.len() >= Self::KEPT {
            compressors.remove(0);
        }
        compressors.push((level, bits, codec));
    }

    pub(super) fn inflater(&self) -> Option<Inflate> {
        self.lock().inflaters.pop()
    }

    pub(super) fn keep_inflater(&self, codec: Inflate) {
        let inflaters = &mut self.lock().inflaters;
        if inflaters.len() < Self::KEPT {
            inflaters.push(codec);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pool(..)")
    }
}

/// Two configurations that say the same are equal, whatever they have in stock.
impl PartialEq for Pool {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Pool {}

/// Compresses the messages of one end.
#[derive(Debug)]
pub(crate) struct Compressor {
    direction: Direction,
    settings: Deflate,
    /// Made for the first message; between messages it is here only if it keeps its context.
    codec: Option<Compress>,
    /// How many bytes the last message became: the next is likely to be like it.
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

    /// Whether a message of this length should be compressed.
    #[inline]
    pub(crate) fn is_worth(&self, len: usize) -> bool {
        // An end that agreed to a window that the codec cannot do keeps its word by not compressing.
        self.enabled && len >= self.settings.threshold && self.direction.window_bits >= 9
    }

    pub(crate) fn keeps_context(&self) -> bool {
        self.direction.context_takeover
    }

    /// The parameters that a compressed message depends on, if that is all it depends on.
    pub(crate) fn shared_parameters(&self) -> Option<(u8, u8)> {
        (!self.keeps_context()).then_some((self.settings.level, self.direction.window_bits))
    }

    /// Compresses a piece of a message; the last piece ends it.
    pub(crate) fn compress(&mut self, payload: &[u8], last: bool) -> Vec<u8> {
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
            // It only fails for a codec in disorder, which no input brings about.
            let status = codec.compress_vec(rest, &mut out, FlushCompress::Sync);
            let consumed = usize::try_from(codec.total_in().saturating_sub(before)).unwrap_or(rest.len());
            rest = rest.get(consumed..).unwrap_or_default();
            // The flush is over when it leaves space.
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
                // RFC 7692 7.2.3.6: an empty message, or one whose pieces were all flushed before.
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
