//! The signals that other tasks send to the task of a connection.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
};

use ws_transport::Evict;

/// Signals to the task of a connection, and the waker of that task.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    /// `true` if the task has to end.
    is_cancelled: AtomicBool,
    /// `true` if the handler has dropped the receiving half or all handles.
    is_unattended: AtomicBool,
    /// `true` if the handler has dropped all handles.
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

    /// Waits until the task is cancelled. Registers the task for all signals.
    pub(super) async fn cancelled(&self) {
        self.until(|| self.is_cancelled.load(Ordering::SeqCst)).await;
    }

    /// Waits until `condition` returns `true`. Registers the task, and checks again whenever it is [woken](Self::wake).
    pub(super) async fn until(&self, condition: impl Fn() -> bool) {
        let mut registered: Option<Waker> = None;
        poll_fn(|cx| {
            if !registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                registered = Some(cx.waker().clone());
                *self.task() = Some(cx.waker().clone());
            }
            // Check the condition after the waker is registered, so that no signal is missed.
            if condition() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn set(&self, signal: &AtomicBool) {
        signal.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Wakes the task, which stays registered.
    pub(super) fn wake(&self) {
        // Release the lock first: a waker may run its task immediately.
        let task = self.task().clone();
        task.into_iter().for_each(Waker::wake);
    }

    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts a response.
impl Evict for Signals {
    fn evict(self: Arc<Self>) {
        self.cancel();
    }
}

/// Token that all handles of a server's connection share.
pub(crate) struct Attached(Arc<Signals>);

/// Token of the receiving half of a server's connection.
pub(crate) struct AttachedReceiver(Arc<Attached>);

impl Attached {
    /// Creates the tokens of the first sender and the receiver.
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
        // Without another handle, the token of all handles is dropped next and sends the signal.
        if Arc::strong_count(&self.0) > 1 {
            let signals = &self.0.0;
            signals.set(&signals.is_unattended);
        }
    }
}
