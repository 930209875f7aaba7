//! The callbacks of a session, its sets, and its end.

use std::mem;

use ws_core::{CloseCode, CloseInfo};

use super::{Session, SessionState};
use crate::{Panicked, Sessions, deferred, guard};

/// Progress of the last callback of a session. When it is due, no other callback begins.
#[derive(Default)]
pub(super) enum LastCallback {
    #[default]
    NotDue,
    /// The callback waits for calls of `on_lagging` on other threads.
    Waiting(Box<dyn FnOnce() + Send>),
    /// The callback runs, or is about to run.
    Begun,
    /// The callback has returned.
    Done,
}

impl Session {
    /// Runs a callback, unless a callback of the session has panicked before. If this callback panics, the session is
    /// closed. Callbacks that it causes run after it.
    pub(crate) fn call(&self, callback: impl FnOnce()) {
        if self.0.panicked.get().is_none() && !self.call_last(callback) {
            // It cannot fail: this code and reason can be sent.
            let _ = self.close(CloseCode::INTERNAL_ERROR, "the handler failed");
        }
    }

    /// Runs the last callback, even after a panic of another one. Returns `false` if it panics.
    pub(crate) fn call_last(&self, callback: impl FnOnce()) -> bool {
        let called = deferred::scope(|| guard(callback));
        called.map_err(|panicked| self.0.panicked.set(panicked)).is_ok()
    }

    /// Returns the first panic of a callback.
    pub(crate) fn panicked(&self) -> Option<&Panicked> {
        self.0.panicked.get()
    }

    /// Adds the session to a set by `insert`, unless the session has ended.
    pub(crate) fn enter(&self, sessions: &Sessions, insert: impl FnOnce() -> bool) -> bool {
        let mut state = self.state();
        if state.close_info.is_some() {
            return false;
        }
        let new = insert();
        if new {
            state.memberships.push(sessions.clone());
        }
        new
    }

    pub(crate) fn left(&self, sessions: &Sessions) {
        let mut state = self.state();
        if let Some(position) = state.memberships.iter().position(|set| set.is_same(sessions)) {
            state.memberships.swap_remove(position);
        }
    }

    /// Leaves all sets for good, and returns the way the session ended.
    pub(crate) fn end(&self, close_info: CloseInfo) -> CloseInfo {
        let memberships = {
            let mut state = self.state();
            state.close_info = Some(close_info.clone());
            mem::take(&mut state.memberships)
        };
        for sessions in memberships {
            sessions.forget(self);
        }
        close_info
    }

    /// Runs the last callback after the calls of `on_lagging` that have begun. Only the first call of this method has
    /// an effect.
    pub(crate) fn finish(&self, last: impl FnOnce() + Send + 'static) {
        let last = {
            let mut state = self.state();
            if !matches!(state.last, LastCallback::NotDue) {
                return;
            }
            state.last = LastCallback::Waiting(Box::new(last));
            state.take_last()
        };
        self.run_last(last);
    }

    fn run_last(&self, last: Option<Box<dyn FnOnce() + Send>>) {
        let Some(last) = last else { return };
        let session = self.clone();
        // Run it later, because a task can be dropped within a callback of another session.
        deferred::run_later(move || {
            session.call_last(last);
            let mut state = session.state();
            state.last = LastCallback::Done;
            let dropped = (state.data.take(), state.on_lagging.take());
            drop(state);
            drop(dropped);
        });
    }

    /// Calls `on_lagging`, unless the last callback is due.
    pub(super) fn call_on_lagging(&self, dropped: usize) {
        let on_lagging = {
            let mut state = self.state();
            let may_begin = matches!(state.last, LastCallback::NotDue);
            let Some(on_lagging) = state.on_lagging.clone().filter(|_| may_begin) else { return };
            state.lagging_calls += 1;
            on_lagging
        };
        self.call(|| on_lagging(self, dropped));
        drop(on_lagging);
        let last = {
            let mut state = self.state();
            state.lagging_calls -= 1;
            state.take_last()
        };
        self.run_last(last);
    }
}

impl SessionState {
    /// Takes the last callback if it is due and no other callback runs.
    fn take_last(&mut self) -> Option<Box<dyn FnOnce() + Send>> {
        if self.lagging_calls > 0 {
            return None;
        }
        match mem::replace(&mut self.last, LastCallback::Begun) {
            LastCallback::Waiting(last) => Some(last),
            other => {
                self.last = other;
                None
            }
        }
    }

    /// Returns `true` if the last callback has returned.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self.last, LastCallback::Done)
    }
}
