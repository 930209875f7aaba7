use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use ws_core::CloseCode;
use ws_sessions::Session;

use crate::{
    backplane::Claim,
    bucket::Bucket,
    limits::Limits,
    protocol::{FromServer, Refusal},
    room::to_json,
};

/// The chat's data of one connection.
pub(crate) struct Visitor {
    pub(crate) room: String,
    /// Number of messages that may still be refused.
    patience: Mutex<u32>,
    bucket: Mutex<Bucket>,
    part: Mutex<Part>,
}

/// Membership of a connection in its room.
#[derive(Clone)]
pub(crate) enum Part {
    None,
    /// The backplane has received the claim and has not answered yet.
    Asking,
    Taken(Claim),
}

impl Visitor {
    pub(crate) fn new(room: String, limits: &Limits) -> Self {
        let bucket = Bucket::new(limits.burst, limits.period, Instant::now());
        Self {
            room,
            patience: Mutex::new(limits.refusals),
            bucket: Mutex::new(bucket),
            part: Mutex::new(Part::None),
        }
    }

    /// Returns `true` if the client may send one more message now.
    pub(crate) fn passes(&self) -> bool {
        lock(&self.bucket).take(Instant::now())
    }

    /// Returns `true` if the connection was closed because too many of its messages were refused.
    pub(crate) fn is_dismissed(&self) -> bool {
        *lock(&self.patience) == 0
    }

    /// Counts a refusal. The last one closes the connection behind the answer.
    pub(crate) fn note_refusal(&self, session: &Session, reason: Refusal) {
        let mut patience = lock(&self.patience);
        if reason == Refusal::Unavailable || *patience == 0 {
            return;
        }
        *patience -= 1;
        let is_last = *patience == 0;
        drop(patience);
        if is_last {
            // It cannot fail: this code and reason can be sent.
            let _ = session.close(CloseCode::POLICY_VIOLATION, "too many messages were refused");
        }
    }

    /// Refuses a message in the callback that received it.
    pub(crate) fn refuse(&self, session: &Session, reason: Refusal, text: &str) {
        let _ = session.feed(to_json(&FromServer::Refused { reason, text: text.to_owned() }));
        self.note_refusal(session, reason);
    }

    pub(crate) fn part(&self) -> MutexGuard<'_, Part> {
        lock(&self.part)
    }

    pub(crate) fn claim(&self) -> Option<Claim> {
        match &*self.part() {
            Part::Taken(claim) => Some(claim.clone()),
            Part::None | Part::Asking => None,
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
