//! Log events of frames, for the feature `tracing`. Without the feature, nothing of this takes space or time.

#[cfg(feature = "tracing")]
use alloc::sync::Arc;

#[cfg(feature = "tracing")]
use tracing::{Span, level_filters::LevelFilter};

use crate::frame::{Header, Opcode};

/// The log of one connection. It writes an event for each frame, with its opcode and length and without its payload.
///
/// The connection keeps the span in which it was opened, because any thread may send on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct FrameLog {
    /// `None` if no subscriber wants the span.
    #[cfg(feature = "tracing")]
    span: Option<Arc<Span>>,
}

impl FrameLog {
    /// Creates the log of a connection that is opened in the current span.
    pub(crate) fn current() -> Self {
        #[cfg(feature = "tracing")]
        {
            let span = Span::current();
            Self { span: (!span.is_disabled()).then(|| Arc::new(span)) }
        }
        #[cfg(not(feature = "tracing"))]
        Self {}
    }

    /// Logs a frame of the peer.
    #[inline]
    pub(crate) fn received(&self, header: &Header) {
        #[cfg(feature = "tracing")]
        if LevelFilter::TRACE <= LevelFilter::current() {
            self.write("frame received", header.opcode, header.payload_len, header.fin, header.rsv1);
        }
        #[cfg(not(feature = "tracing"))]
        let _ = header;
    }

    /// Logs a frame that was queued.
    #[inline]
    pub(crate) fn sent(&self, header: &Header) {
        #[cfg(feature = "tracing")]
        if LevelFilter::TRACE <= LevelFilter::current() {
            self.write("frame sent", header.opcode, header.payload_len, header.fin, header.rsv1);
        }
        #[cfg(not(feature = "tracing"))]
        let _ = header;
    }

    /// Logs an unfragmented frame that was queued.
    #[inline]
    pub(crate) fn sent_whole(&self, opcode: Opcode, len: usize) {
        #[cfg(feature = "tracing")]
        if LevelFilter::TRACE <= LevelFilter::current() {
            self.write("frame sent", opcode, len as u64, true, false);
        }
        #[cfg(not(feature = "tracing"))]
        let _ = (opcode, len);
    }

    /// Logs a frame that was encoded before.
    #[inline]
    pub(crate) fn sent_encoded(&self, frame: &[u8]) {
        #[cfg(feature = "tracing")]
        if LevelFilter::TRACE <= LevelFilter::current()
            && let Ok(Some((header, _))) = Header::decode(frame)
        {
            self.sent(&header);
        }
        #[cfg(not(feature = "tracing"))]
        let _ = frame;
    }

    #[cfg(feature = "tracing")]
    #[cold]
    #[inline(never)]
    fn write(&self, text: &'static str, opcode: Opcode, len: u64, fin: bool, compressed: bool) {
        let parent = self.span.as_ref().and_then(|span| span.id());
        let opcode = opcode.as_str();
        tracing::trace!(target: "websocket::frame", parent: parent, opcode, len, fin, compressed, "{text}");
    }
}
