use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

/// Wakers of tasks that wait for the same event.
#[derive(Debug, Default)]
pub(crate) struct WakerSet(Mutex<WakerState>);

#[derive(Debug, Default)]
struct WakerState {
    wakers: Wakers,
    /// `true` while wake-ups are recorded in `is_noted` and not executed.
    is_held: bool,
    is_noted: bool,
}

/// A set of wakers, optimized for the usual case of one waker.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl WakerSet {
    pub(crate) fn add(&self, waker: &Waker) {
        self.lock().wakers.add(waker);
    }

    pub(crate) fn wake_all(&self) {
        self.take().wake_all();
    }

    /// Takes all wakers. The caller wakes them when it holds no lock.
    pub(crate) fn take(&self) -> Wakers {
        mem::take(&mut self.lock().wakers)
    }

    /// Runs `poll`, which may wake this set. No task is woken during the call, because the caller holds a lock that
    /// the tasks may need. Returns the wakers if the set was woken.
    pub(crate) fn hold<T>(&self, poll: impl FnOnce() -> T) -> (T, Option<Wakers>) {
        self.lock().is_held = true;
        let polled = poll();
        let mut state = self.lock();
        state.is_held = false;
        let is_noted = mem::take(&mut state.is_noted);
        (polled, is_noted.then(|| mem::take(&mut state.wakers)))
    }

    fn lock(&self) -> MutexGuard<'_, WakerState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wakers {
    pub(crate) fn add(&mut self, waker: &Waker) {
        match &self.first {
            None => self.first = Some(waker.clone()),
            Some(first) if first.will_wake(waker) => {}
            Some(_) if self.more.iter().any(|other| other.will_wake(waker)) => {}
            Some(_) => self.more.push(waker.clone()),
        }
    }

    pub(crate) fn extend(&mut self, others: Self) {
        others.first.into_iter().chain(others.more).for_each(|waker| self.add(&waker));
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn wake_all(self) {
        self.first.into_iter().chain(self.more).for_each(Waker::wake);
    }
}

impl Wake for WakerSet {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wakers = {
            let mut state = self.lock();
            if state.is_held {
                state.is_noted = true;
                return;
            }
            mem::take(&mut state.wakers)
        };
        wakers.wake_all();
    }
}
