//! Keepalive: pings, and the check for a peer that does not answer them.

use alloc::boxed::Box;
use core::time::Duration;

use crate::{Keepalive, Timestamp};

/// The pings of one connection.
#[derive(Debug, Default)]
pub(super) struct Pings {
    /// Time of the next ping, or deadline of the unanswered ping.
    due: Option<Timestamp>,
    /// Pings that were sent and not answered. Usually empty.
    unanswered: Option<Box<Unanswered>>,
    latency: Option<Timestamp>,
}

/// Pings that no pong has answered, either directly or by answering a later ping.
#[derive(Debug)]
struct Unanswered {
    /// Time at which the first of them was queued.
    first_at: Timestamp,
    /// Time at which the latest was queued.
    last_at: Timestamp,
    /// Position in the output at which the latest ends.
    end: u64,
    /// First time that was reported after the latest ping was written.
    written_at: Option<Timestamp>,
    /// `true` while the latest ping still counts, because there was no other sign that the peer is alive.
    is_pending: bool,
    /// `true` if the pong for the latest ping was received.
    answered: bool,
    /// `true` if the peer has shown a sign of life since the deadline began.
    alive: bool,
    missed: u32,
}

/// Facts collected since the time was last reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) now: Timestamp,
    /// `true` if the peer has shown a sign of life, or if this end did not read.
    pub(super) alive: bool,
    /// Position up to which the output is written.
    pub(super) written: u64,
}

/// Action to take when a deadline has passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Send a ping with this payload, and call [`Pings::sent`].
    Ping([u8; 8]),
    /// Too many pings were missed.
    Dead,
}

impl Pings {
    /// Minimum of the ping interval and timeout, so that no configuration causes a busy loop.
    const SHORTEST: Duration = Duration::from_millis(1);

    pub(super) fn new(config: Option<&Keepalive>, now: Timestamp) -> Self {
        let config = config.filter(|config| !config.interval.is_zero());
        Self { due: config.map(|config| now + config.interval.max(Self::SHORTEST)), ..Self::default() }
    }

    /// Returns `true` if no ping is unanswered and none is due.
    #[inline]
    pub(super) fn is_quiet(&self, now: Timestamp) -> bool {
        self.unanswered.is_none() && self.due.is_none_or(|due| now < due)
    }

    /// Returns the time of the next check. That is at once if a ping was written and no time has been reported since.
    #[inline]
    pub(super) fn due(&self, look: Look) -> Option<Timestamp> {
        match &self.unanswered {
            Some(pings) if pings.starts_deadline(look.written) => Some(look.now),
            _ => self.due,
        }
    }

    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency.map(Duration::from)
    }

    pub(super) fn handle_timeout(&mut self, config: &Keepalive, look: Look) -> Due {
        let Look { now, alive, written } = look;
        let after = |sent_at| now.max(sent_at + config.interval.max(Self::SHORTEST));
        let deadline = now + config.timeout.max(Self::SHORTEST);
        if let Some(pings) = &mut self.unanswered {
            pings.alive |= alive;
            if pings.answered {
                let sent_at = pings.written_at.unwrap_or(pings.last_at);
                self.latency = Some(Timestamp::from(now.saturating_duration_since(sent_at)));
                self.due = Some(after(pings.last_at));
                self.unanswered = None;
            } else if pings.starts_deadline(written) {
                // Signs of life before its deadline starts do not answer it.
                pings.written_at = Some(now);
                pings.alive = false;
                self.due = Some(deadline);
            } else if pings.is_pending && alive {
                self.due = match pings.written_at {
                    // The next ping does not have to wait until this one counts as missed.
                    Some(_) => self.due.min(Some(after(pings.last_at))),
                    // It still waits behind other output, and that output makes progress.
                    None => Some(deadline),
                };
            }
        }
        if self.due.is_none_or(|due| now < due) {
            return Due::Nothing;
        }
        if let Some(pings) = self.unanswered.as_deref_mut().filter(|pings| pings.is_pending) {
            if pings.alive && pings.written_at.is_some() {
                // No pong has arrived, but a peer cannot send one in the middle of a large frame.
                pings.is_pending = false;
                pings.missed = 0;
                self.due = Some(after(pings.last_at));
                if self.due > Some(now) {
                    return Due::Nothing;
                }
            } else {
                pings.missed = pings.missed.saturating_add(1);
                if config.max_missed.is_some_and(|most| pings.missed >= most) {
                    return Due::Dead;
                }
                if pings.written_at.is_none() {
                    // Another ping would wait behind this one.
                    self.due = Some(deadline);
                    return Due::Nothing;
                }
                if config.max_missed.is_none() {
                    // There is no verdict that an early ping could speed up.
                    pings.is_pending = false;
                    self.due = Some(after(pings.last_at));
                    if self.due > Some(now) {
                        return Due::Nothing;
                    }
                }
            }
        }
        self.due = Some(deadline);
        Due::Ping(payload(now))
    }

    /// Records that a ping was queued at `now` and ends at position `end` of the output.
    pub(super) fn sent(&mut self, now: Timestamp, end: u64) {
        let (first_at, missed) =
            self.unanswered.as_ref().map_or((now, 0), |pings| (pings.first_at, pings.missed));
        self.unanswered = Some(Box::new(Unanswered {
            first_at,
            last_at: now,
            end,
            written_at: None,
            is_pending: true,
            answered: false,
            alive: false,
            missed,
        }));
    }

    /// Returns `true` if `pong` answers one of these pings: the unanswered one or, late, an earlier one.
    pub(super) fn handle_pong(&mut self, pong: &[u8]) -> bool {
        let Some(pings) = &mut self.unanswered else { return false };
        if pings.is_pending && pong == payload(pings.last_at) {
            pings.answered = true;
            return true;
        }
        pong.len() == 8 && pong >= &payload(pings.first_at)[..] && pong <= &payload(pings.last_at)[..]
    }
}

impl Unanswered {
    /// Returns `true` if the latest ping was written and its deadline has not begun yet.
    const fn starts_deadline(&self, written: u64) -> bool {
        self.is_pending && self.written_at.is_none() && written >= self.end
    }
}

/// Returns the payload of a ping: the time at which it was queued, so that its pong can be recognized.
fn payload(sent_at: Timestamp) -> [u8; 8] {
    let nanos = Duration::from(sent_at).as_nanos();
    u64::try_from(nanos).unwrap_or(u64::MAX).to_be_bytes()
}
