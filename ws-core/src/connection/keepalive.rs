//! Pings, and what their silence means, by the caller's clock.

use alloc::boxed::Box;
use core::time::Duration;

use crate::{Keepalive, Timestamp};

/// The pings of one connection.
#[derive(Debug, Default)]
pub(super) struct Pings {
    /// When to look next: the time of the next ping, or the deadline of the one that is out.
    due: Option<Timestamp>,
    /// What was sent and not answered; mostly nothing.
    unanswered: Option<Box<Unanswered>>,
    latency: Option<Timestamp>,
}

/// Pings that no pong has answered or overtaken.
#[derive(Debug)]
struct Unanswered {
    /// When the first of them was sent.
    first_at: Timestamp,
    /// When the latest was.
    last_at: Timestamp,
    /// Whether the latest still counts, because nothing else showed that the peer lives.
    is_out: bool,
    /// Whether its pong was heard, at a time still to be told.
    answered: bool,
    /// Whether anything was heard since it was sent.
    heard: bool,
    missed: u32,
}

/// What is to be done when a deadline has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// Send a ping with this payload.
    Ping([u8; 8]),
    /// Too many pings stayed unanswered.
    Dead,
}

impl Pings {
    /// Neither interval nor timeout is shorter, so that no configuration spins.
    const SHORTEST: Duration = Duration::from_millis(1);

    pub(super) fn new(config: Option<&Keepalive>, now: Timestamp) -> Self {
        Self { due: config.map(|config| now + config.interval.max(Self::SHORTEST)), ..Self::default() }
    }

    pub(super) const fn due(&self) -> Option<Timestamp> {
        self.due
    }

    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency.map(Duration::from)
    }

    /// Tells the time, and whether anything was heard since it was told last.
    pub(super) fn handle_timeout(&mut self, config: &Keepalive, now: Timestamp, heard: bool) -> Due {
        let after = |sent_at| now.max(sent_at + config.interval.max(Self::SHORTEST));
        if let Some(pings) = &mut self.unanswered {
            pings.heard |= heard;
            if pings.answered {
                self.latency = Some(Timestamp::from(now.saturating_duration_since(pings.last_at)));
                self.due = Some(after(pings.last_at));
                self.unanswered = None;
            } else if pings.is_out && heard {
                // The peer lives, so the next ping need not wait until this one counts as missed.
                self.due = self.due.min(Some(after(pings.last_at)));
            }
        }
        if self.due.is_none_or(|due| now < due) {
            return Due::Nothing;
        }
        if let Some(pings) = self.unanswered.as_deref_mut().filter(|pings| pings.is_out) {
            if pings.heard {
                // No pong, but a peer in the middle of a large frame cannot send one.
                pings.is_out = false;
                pings.missed = 0;
                self.due = Some(after(pings.last_at));
                if self.due > Some(now) {
                    return Due::Nothing;
                }
            } else {
                pings.missed = pings.missed.saturating_add(1);
                if pings.missed >= config.max_missed {
                    return Due::Dead;
                }
            }
        }
        let (first_at, missed) =
            self.unanswered.as_ref().map_or((now, 0), |pings| (pings.first_at, pings.missed));
        let pings =
            Unanswered { first_at, last_at: now, is_out: true, answered: false, heard: false, missed };
        self.unanswered = Some(Box::new(pings));
        self.due = Some(now + config.timeout.max(Self::SHORTEST));
        Due::Ping(payload(now))
    }

    /// Whether `pong` answers a ping of these, the one that is out or, late, an earlier one.
    pub(super) fn handle_pong(&mut self, pong: &[u8]) -> bool {
        let Some(pings) = &mut self.unanswered else { return false };
        if pings.is_out && pong == payload(pings.last_at) {
            pings.answered = true;
            return true;
        }
        pong.len() == 8 && pong >= &payload(pings.first_at)[..] && pong <= &payload(pings.last_at)[..]
    }
}

/// A ping says when it was sent, so that its pong is told from others.
fn payload(sent_at: Timestamp) -> [u8; 8] {
    let nanos = Duration::from(sent_at).as_nanos();
    u64::try_from(nanos).unwrap_or(u64::MAX).to_be_bytes()
}
