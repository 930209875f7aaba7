//! Pings, and what their silence means, by the caller's clock.

use core::time::Duration;

use crate::{Keepalive, Timestamp};

/// The pings of one connection.
#[derive(Debug, Default)]
pub(super) struct Pings {
    /// When to look next: the time of the next ping, or the deadline of the one that is out.
    due: Option<Timestamp>,
    /// When the ping that is out was sent.
    sent_at: Option<Timestamp>,
    /// When the latest ping was sent, be it out or not.
    last_sent_at: Option<Timestamp>,
    /// When the first ping was sent that no pong has answered or overtaken.
    unanswered_since: Option<Timestamp>,
    latency: Option<Timestamp>,
    missed: u32,
    /// Whether anything was heard since the last ping.
    heard: bool,
    /// Whether the pong to the ping that is out was heard.
    answered: bool,
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
        self.heard |= heard;
        if let Some(sent_at) = self.sent_at.filter(|_| self.answered) {
            self.latency = Some(Timestamp::from(now.saturating_duration_since(sent_at)));
            self.settle(config, sent_at, now);
            self.unanswered_since = None;
        }
        if let Some(sent_at) = self.sent_at.filter(|_| heard) {
            // The peer lives, so the next ping need not wait until this one counts as missed.
            self.due = self.due.min(Some(now.max(sent_at + config.interval.max(Self::SHORTEST))));
        }
        if self.due.is_none_or(|due| now < due) {
            return Due::Nothing;
        }
        if let Some(sent_at) = self.sent_at {
            if self.heard {
                // No pong, but a peer in the middle of a large frame cannot send one.
                self.settle(config, sent_at, now);
                if self.due > Some(now) {
                    return Due::Nothing;
                }
            } else {
                self.missed = self.missed.saturating_add(1);
                if self.missed >= config.max_missed {
                    return Due::Dead;
                }
            }
        }
        self.sent_at = Some(now);
        self.last_sent_at = Some(now);
        self.unanswered_since = self.unanswered_since.or(Some(now));
        self.heard = false;
        self.due = Some(now + config.timeout.max(Self::SHORTEST));
        Due::Ping(payload(now))
    }

    /// Whether `pong` answers a ping of these, the one that is out or, late, an earlier one.
    pub(super) fn handle_pong(&mut self, pong: &[u8]) -> bool {
        let answers = self.sent_at.is_some_and(|sent_at| pong == payload(sent_at));
        self.answered |= answers;
        if answers {
            return true;
        }
        let (Some(since), Some(last)) = (self.unanswered_since, self.last_sent_at) else { return false };
        pong.len() == 8 && pong >= &payload(since)[..] && pong <= &payload(last)[..]
    }

    fn settle(&mut self, config: &Keepalive, sent_at: Timestamp, now: Timestamp) {
        self.sent_at = None;
        self.answered = false;
        self.missed = 0;
        self.due = Some(now.max(sent_at + config.interval.max(Self::SHORTEST)));
    }
}

/// A ping says when it was sent, so that its pong is told from others.
fn payload(sent_at: Timestamp) -> [u8; 8] {
    let nanos = Duration::from(sent_at).as_nanos();
    u64::try_from(nanos).unwrap_or(u64::MAX).to_be_bytes()
}
