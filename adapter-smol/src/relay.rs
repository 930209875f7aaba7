use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Wake, Waker},
};

/// A waker that stays the same while the task that waits changes.
///
/// `async-io` wakes a waker when another one replaces it. That would run the waker of an application under the lock of the
/// connection.
#[derive(Debug)]
pub(crate) struct Relay {
    task: Arc<RelayTask>,
    /// Wakes `task`.
    waker: Waker,
}

#[derive(Debug, Default)]
struct RelayTask(Mutex<Option<Waker>>);

impl Relay {
    pub(crate) fn new() -> Self {
        let task = Arc::new(RelayTask::default());
        Self { waker: task.clone().into(), task }
    }

    /// Calls `poll` with the waker that stays the same. From now on it wakes the task of `cx`, and no earlier one.
    pub(crate) fn poll<T>(&self, cx: &Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let mut task = self.task.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        drop(task);
        poll(&mut Context::from_waker(&self.waker))
    }
}

impl Wake for RelayTask {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let task = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.wake();
        }
    }
}
