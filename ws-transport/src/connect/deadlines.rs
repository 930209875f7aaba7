use std::time::Duration;

use ws_core::{TimeoutKind, Timestamp};

/// A deadline and the error that it causes.
pub(super) type Deadline = (Option<Timestamp>, TimeoutKind);

/// Returns the deadline of something that begins now.
pub(super) fn after(now: Timestamp, timeout: Option<Duration>, kind: TimeoutKind) -> Deadline {
    (timeout.map(|timeout| now + timeout), kind)
}

/// Returns the kind of the first deadline in this list that has passed.
pub(super) fn passed(deadlines: &[Deadline], now: Timestamp) -> Option<TimeoutKind> {
    deadlines.iter().find(|(at, _)| at.is_some_and(|at| at <= now)).map(|(_, kind)| *kind)
}

/// Returns the earliest of these deadlines.
pub(super) fn earliest(deadlines: &[Deadline]) -> Option<Timestamp> {
    deadlines.iter().filter_map(|(at, _)| *at).min()
}
