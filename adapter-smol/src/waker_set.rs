use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

/// Tasks that wait for the same thing.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<Tasks>);

#[derive(Debug, Default)]
struct Tasks {
    /// Mostly there is one.
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Waiting {
    pub(crate) fn add(&self, waker: &Waker) {
        let mut tasks = self.lock();
        match &tasks.first {
            None => tasks.first = Some(waker.clone()),
            Some(first)
                if first.will_wake(waker) || tasks.more.iter().any(|other| other.will_wake(waker)) => {}
            Some(_) => tasks.more.push(waker.clone()),
        }
    }

    pub(crate) fn wake_all(&self) {
        let tasks = mem::take(&mut *self.lock());
        tasks.first.into_iter().chain(tasks.more).for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}
