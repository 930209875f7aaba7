//! The tasks of this crate that the current thread is polling. A stop inside a handler or callback uses this record,
//! so that it does not wait for itself.

use std::cell::RefCell;

/// Key of a polled task: the address of its owner and its number within the owner.
pub(crate) type Key = (usize, usize);

thread_local! {
    /// Keys of the polled tasks, the innermost last. A task may poll another task.
    static POLLED: RefCell<Vec<Key>> = const { RefCell::new(Vec::new()) };
}

/// Removes the innermost key when dropped, including after a panic.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        POLLED.with_borrow_mut(Vec::pop);
    }
}

/// Runs one poll of the task with this key.
pub(crate) fn within<T>(key: Key, poll: impl FnOnce() -> T) -> T {
    POLLED.with_borrow_mut(|polled| polled.push(key));
    let _leave = Leave;
    poll()
}

/// Returns the number of the task of this owner that is being polled, if any.
pub(crate) fn number(owner: usize) -> Option<usize> {
    POLLED.with_borrow(|polled| polled.iter().find(|key| key.0 == owner).map(|key| key.1))
}
