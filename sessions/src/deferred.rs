//! Callbacks that are caused by other callbacks.

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

/// The callbacks that wait for the outermost [`scope`] of this thread to end.
struct Queue {
    is_active: Cell<bool>,
    callbacks: RefCell<VecDeque<Callback>>,
}

/// Runs `run`, and behind it the callbacks that it has caused, and those that these cause. So callbacks never nest, and
/// the depth of the stack does not depend on their number.
pub(crate) fn scope<T>(run: impl FnOnce() -> T) -> T {
    // A thread that ends has no queue any more.
    let is_outermost = QUEUE.try_with(|queue| !queue.is_active.replace(true)).unwrap_or(false);
    if !is_outermost {
        return run();
    }
    let result = catch_unwind(AssertUnwindSafe(run));
    while let Some(callback) = QUEUE.with(|queue| queue.callbacks.borrow_mut().pop_front()) {
        // The session that a panic belongs to has seen it.
        let _ = guard(callback);
    }
    QUEUE.with(|queue| queue.is_active.set(false));
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Runs a callback behind the [`scope`] that this thread is in, or at once if it is in none.
pub(crate) fn run_later(callback: impl FnOnce() + 'static) {
    let mut callback: Option<Callback> = Some(Box::new(callback));
    scope(|| {
        let _ = QUEUE.try_with(|queue| queue.callbacks.borrow_mut().extend(callback.take()));
        if let Some(callback) = callback {
            callback();
        }
    });
}
