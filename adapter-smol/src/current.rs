//! Which tasks of this crate the current thread is polling, so that a stop in a handler or callback does not wait for
//! itself.

use std::cell::RefCell;

/// What is polled: the address of its owner and its number there.
pub(crate) type Key = (usize, usize);

thread_local! {
    /// A task may poll another one within it.
    static POLLED: RefCell<Vec<Key>> = const { RefCell::new(Vec::new()) };
}

/// Removes the innermost key, also if the poll panics.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        POLLED.with_borrow_mut(Vec::pop);
    }
}

/// Runs one poll.
pub(crate) fn within<T>(key: Key, poll: impl FnOnce() -> T) -> T {
    POLLED.with_borrow_mut(|polled| polled.push(key));
    let _leave = Leave;
    poll()
}

/// Returns the number of what this owner is being polled for, if it is.
pub(crate) fn number(owner: usize) -> Option<usize> {
    POLLED.with_borrow(|polled| polled.iter().find(|key| key.0 == owner).map(|key| key.1))
}
