//! The handles of a server's handler for its connection. If a handler drops them but continues to run, the library
//! takes over the connection.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{duplex::Duplex, flusher};

/// Shared by all handles of a server's connection.
pub(crate) struct Attached {
    duplex: Arc<Duplex>,
}

/// Owned by the receiving half of a server's connection.
pub(crate) struct AttachedReceiver(Arc<Attached>);

/// State of the handler of a server's connection.
#[derive(Debug, Default)]
pub(crate) struct HandlerState {
    /// The application has dropped all handles.
    is_abandoned: AtomicBool,
    /// The library receives in the place of the handler.
    is_taken_over: AtomicBool,
    /// The handler has returned. Its thread closes the connection.
    has_returned: AtomicBool,
}

impl Attached {
    /// Creates the tokens of the first sender and of the receiver.
    pub(crate) fn new(duplex: Arc<Duplex>) -> (Arc<Self>, AttachedReceiver) {
        let attached = Arc::new(Self { duplex });
        (attached.clone(), AttachedReceiver(attached))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.duplex.handler.is_abandoned.store(true, Ordering::SeqCst);
        flusher::watch_dropped(&self.duplex);
    }
}

impl Drop for AttachedReceiver {
    fn drop(&mut self) {
        // Without another handle, dropping this one calls `Attached::drop` next.
        if Arc::strong_count(&self.0) > 1 {
            flusher::watch_dropped(&self.0.duplex);
        }
    }
}

impl HandlerState {
    pub(crate) fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::SeqCst)
    }

    pub(crate) fn is_taken_over(&self) -> bool {
        self.is_taken_over.load(Ordering::SeqCst)
    }

    /// Records that the library receives. Returns `true` if it did not receive before.
    pub(crate) fn take_over(&self) -> bool {
        !self.is_taken_over.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn has_returned(&self) -> bool {
        self.has_returned.load(Ordering::SeqCst)
    }

    pub(crate) fn set_returned(&self) {
        self.has_returned.store(true, Ordering::SeqCst);
    }
}
