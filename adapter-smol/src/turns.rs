//! Tasks that have yielded the thread to others and can continue.
//!
//! Where a server runs its connections itself, such tasks do not queue among the others. They are resumed one at a time,
//! when no other task is ready or after a short time. So an answer waits for the turn of one busy connection, and not for
//! the turns of all of them.

use std::{cell::RefCell, collections::VecDeque, task::Waker};

thread_local! {
    /// `None` while this thread runs no connections of a server, or those of several.
    static YIELDED: RefCell<Option<VecDeque<Waker>>> = const { RefCell::new(None) };
}

/// The tasks of a server that are to be resumed later.
#[derive(Debug, Default)]
pub(crate) struct Turns(VecDeque<Waker>);

/// Puts the tasks back where they came from, also if a task panics.
struct Restore<'t> {
    turns: &'t mut Turns,
    outer: Option<VecDeque<Waker>>,
}

impl Turns {
    /// Runs a task. If it leaves its turn to others, it is resumed by [`resume_one`](Self::resume_one).
    pub(crate) fn run<T>(&mut self, task: impl FnOnce() -> T) -> T {
        let yielded = std::mem::take(&mut self.0);
        let restore = Restore { turns: self, outer: YIELDED.replace(Some(yielded)) };
        let result = task();
        drop(restore);
        result
    }

    /// Wakes the task that has waited longest. Returns `false` if there is none.
    pub(crate) fn resume_one(&mut self) -> bool {
        let task = self.0.pop_front();
        let is_some = task.is_some();
        task.into_iter().for_each(Waker::wake);
        is_some
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        self.turns.0 = YIELDED.replace(self.outer.take()).unwrap_or_default();
    }
}

/// Notes that a task has yielded its turn to others. Returns `false` if it has to be woken at once.
pub(crate) fn leave(waker: &Waker) -> bool {
    YIELDED.with_borrow_mut(|yielded| {
        let Some(yielded) = yielded else { return false };
        if !yielded.iter().any(|other| other.will_wake(waker)) {
            yielded.push_back(waker.clone());
        }
        true
    })
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn tasks_that_left_are_resumed_one_by_one_and_each_once() {
        let tasks = [Arc::new(Woken::default()), Arc::new(Woken::default())];
        let wakers = tasks.clone().map(Waker::from);
        let woken = || tasks.each_ref().map(|task| task.0.load(SeqCst));
        assert!(!leave(&wakers[0]), "outside of a server, a task has to be woken at once");
        let mut turns = Turns::default();
        for waker in [&wakers[0], &wakers[1], &wakers[0]] {
            assert!(turns.run(|| leave(waker)));
        }
        assert_eq!(woken(), [0, 0]);
        assert!(turns.resume_one());
        assert_eq!(woken(), [1, 0]);
        assert!(turns.resume_one() && !turns.resume_one());
        assert_eq!(woken(), [1, 1]);
        assert!(!leave(&wakers[0]));
    }
}
