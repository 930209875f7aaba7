//! The signals that a connection's task receives from outside.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
};

/// Signals to a connection's task, and how to wake it.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// The task is to end.
    is_cancelled: AtomicBool,
    /// The handler has dropped the receiving half, or all handles.
    is_unattended: AtomicBool,
    /// The handler has dropped all handles.
    is_abandoned: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Signals {
    pub(super) fn cancel(&self) {
        self.set(&self.is_cancelled);
    }

    pub(super) fn is_unattended(&self) -> bool {
        self.is_unattended.load(Ordering::SeqCst)
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::SeqCst)
    }

    /// Waits for the end that comes from outside. Registers the task for all signals.
    pub(super) async fn cancelled(&self) {
        self.until(|| self.is_cancelled.load(Ordering::SeqCst)).await;
    }

    /// Waits until `is_so` returns `true`. Registers the task, and checks again whenever it is [woken](Self::wake).
    pub(super) async fn until(&self, is_so: impl Fn() -> bool) {
        let mut known: Option<Waker> = None;
        poll_fn(|cx| {
            if !known.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                known = Some(cx.waker().clone());
                *self.task() = Some(cx.waker().clone());
            }
            // After the waker is there to be woken.
            if is_so() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn set(&self, signal: &AtomicBool) {
        signal.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Wakes the task, which stays registered.
    pub(super) fn wake(&self) {
        // The lock is released first: a waker may run its task at once.
        let task = self.task().clone();
        task.into_iter().for_each(Waker::wake);
    }

    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held by all handles of a server's connection together.
pub(crate) struct Attached(Arc<Signals>);

/// Held by the receiving half of a server's connection.
pub(crate) struct AttachedReceiver(Arc<Attached>);

impl Attached {
    /// Creates the tokens of the first sender and of the receiver.
    pub(crate) fn new(signals: Arc<Signals>) -> (Arc<Self>, AttachedReceiver) {
        let attached = Arc::new(Self(signals));
        (attached.clone(), AttachedReceiver(attached))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.is_abandoned.store(true, Ordering::SeqCst);
        self.0.set(&self.0.is_unattended);
    }
}

impl Drop for AttachedReceiver {
    fn drop(&mut self) {
        // If there is no other handle, all of them are dropped now.
        if Arc::strong_count(&self.0) > 1 {
            let signals = &self.0.0;
            signals.set(&signals.is_unattended);
        }
    }
}
