//! The handles that a handler has for its connection. A handler that drops them and runs on leaves the connection to the
//! library.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{duplex::Duplex, flusher};

/// Held by all handles of a server's connection together.
pub(crate) struct Attached {
    duplex: Arc<Duplex>,
}

/// Held by the receiving half of a server's connection.
pub(crate) struct AttachedReceiver(Arc<Attached>);

/// The part of its connection that a handler has left to the library.
#[derive(Debug, Default)]
pub(crate) struct HandlerState {
    /// The application has dropped all handles.
    is_abandoned: AtomicBool,
    /// The library receives.
    is_taken_over: AtomicBool,
    /// The handler has returned. Its thread does the rest.
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
        // If there is no other handle, all of them are dropped now.
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

    /// Returns `true` if the library was not receiving before.
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
