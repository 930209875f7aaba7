//! A queue for callbacks that are caused by other callbacks.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use crate::guard;

type Callback = Box<dyn FnOnce()>;

thread_local! {
    static QUEUE: Queue = const { Queue { is_active: Cell::new(false), callbacks: RefCell::new(VecDeque::new()) } };
}

/// Callbacks that wait until the outermost [`scope`] of this thread ends.
struct Queue {
    is_active: Cell<bool>,
    callbacks: RefCell<VecDeque<Callback>>,
}

/// Runs `run`. Then runs the callbacks that it has caused, and the callbacks that these cause. So callbacks never
/// nest, and the stack depth does not depend on their number.
pub(crate) fn scope<T>(run: impl FnOnce() -> T) -> T {
    // While a thread ends, its queue no longer exists.
    let is_outermost = QUEUE.try_with(|queue| !queue.is_active.replace(true)).unwrap_or(false);
    if !is_outermost {
        return run();
    }
    let result = catch_unwind(AssertUnwindSafe(run));
    while let Some(callback) = QUEUE.with(|queue| queue.callbacks.borrow_mut().pop_front()) {
        // The session of the callback has already recorded a panic.
        let _ = guard(callback);
    }
    QUEUE.with(|queue| queue.is_active.set(false));
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Runs a callback after the current [`scope`] of this thread. Outside a scope, runs it at once.
pub(crate) fn run_later(callback: impl FnOnce() + 'static) {
    let mut callback: Option<Callback> = Some(Box::new(callback));
    scope(|| {
        let _ = QUEUE.try_with(|queue| queue.callbacks.borrow_mut().extend(callback.take()));
        if let Some(callback) = callback {
            callback();
        }
    });
}
