//! The budget of a turn: the work after which a connection leaves its thread to others, or looks at its deadlines.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use ws_core::Event;

/// Work of one turn, in units of about a nanosecond.
const WORK_PER_TURN: usize = 256 << 10;
/// Time of one turn.
const TURN_TIME: Duration = Duration::from_micros(250);

/// Work of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A read of this number of bytes.
    Read(usize),
    /// A message or chunk of this number of bytes that the application receives.
    Message(usize),
    /// A control frame.
    Control,
    /// A call of [`Connection::receive`](ws_core::Connection::receive) that has stopped within a message.
    Inflating,
    /// A write of this number of bytes, to any connection: a broadcast is many writes.
    Write(usize),
}

impl Work {
    /// Returns the work of receiving an event.
    #[must_use]
    #[inline]
    pub fn of(event: &Event<'_>) -> Self {
        match event {
            Event::Message(message) => Self::Message(message.len()),
            Event::Chunk(chunk) => Self::Message(chunk.payload.len()),
            _ => Self::Control,
        }
    }

    #[inline]
    const fn units(self) -> usize {
        match self {
            Self::Read(len) => {
                if len > 16 << 10 {
                    len
                } else {
                    16 << 10
                }
            }
            Self::Message(len) => len.saturating_add(1 << 10),
            Self::Control => 128,
            Self::Inflating => WORK_PER_TURN,
            Self::Write(len) => (len / 4).saturating_add(2 << 10),
        }
    }
}

/// The turn of a thread. All connections that the thread serves spend the same budget.
struct Spent {
    units: Cell<usize>,
    /// Number of units at which the clock has to be read.
    next_look: Cell<usize>,
    /// Beginning of the turn, or the first look at the clock.
    began: Cell<Option<Instant>>,
}

thread_local! {
    static SPENT: Spent =
        const { Spent { units: Cell::new(0), next_look: Cell::new(1), began: Cell::new(None) } };
}

/// Begins a turn. The time counts from `began`, or else from the first look at the clock.
#[inline]
pub fn begin_turn(began: Option<Instant>) {
    SPENT.with(|spent| {
        spent.units.set(0);
        spent.next_look.set(1);
        spent.began.set(began);
    });
}

/// Spends work of the turn.
#[inline]
pub fn spend(work: Work) {
    SPENT.with(|spent| spent.units.set(spent.units.get().saturating_add(work.units())));
}

/// Returns `true` if the work of the turn is done, regardless of its time.
#[must_use]
#[inline]
pub fn is_spent() -> bool {
    SPENT.with(|spent| spent.units.get() >= WORK_PER_TURN)
}

/// Returns `true` if the turn is over: its work is done or its time has passed. The clock is read as rarely as the
/// speed of the work so far permits, and never before the first work.
#[must_use]
#[inline]
pub fn is_turn_over() -> bool {
    SPENT.with(|spent| spent.units.get() >= spent.next_look.get() && spent.look())
}

impl Spent {
    #[cold]
    #[inline(never)]
    fn look(&self) -> bool {
        let units = self.units.get();
        if units >= WORK_PER_TURN {
            return true;
        }
        let now = Instant::now();
        let Some(began) = self.began.get() else {
            self.began.set(Some(now));
            self.next_look.set(units.saturating_add(1));
            return false;
        };
        let elapsed = now.saturating_duration_since(began);
        let Some(left) = TURN_TIME.checked_sub(elapsed).filter(|left| !left.is_zero()) else { return true };
        // At half of the time that is left, if the work goes on at this speed, but not much later than it has taken.
        let speed = left.as_nanos() / 2 / elapsed.as_nanos().max(1);
        let ahead = units.saturating_mul(usize::try_from(speed).unwrap_or(usize::MAX).clamp(0, 8));
        self.next_look.set(units.saturating_add(ahead.max(1)));
        false
    }
}

/// The output of a connection if its turn ends before all input is received.
///
/// Answers to messages that have arrived together leave by one write. So a turn that ends because its time has passed
/// does not write. The work of such turns adds up, and output is written when it reaches the work of one turn, or after eight
/// turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeferredWrites {
    units: usize,
    turns: u8,
}

impl DeferredWrites {
    const MAX_TURNS: u8 = 8;

    /// Like [`is_turn_over`], and also returns `true` if this turn and those without a write have done the work of one turn.
    #[must_use]
    #[inline]
    pub fn is_turn_over(self) -> bool {
        is_turn_over() || (self.turns > 0 && self.total() >= WORK_PER_TURN)
    }

    /// Ends a turn. Returns `true` if output has to be written. Call it before the next turn begins.
    pub fn end_turn(&mut self) -> bool {
        *self = Self { units: self.total(), turns: self.turns + 1 };
        let are_due = self.units >= WORK_PER_TURN || self.turns >= Self::MAX_TURNS;
        if are_due {
            *self = Self::default();
        }
        are_due
    }

    fn total(self) -> usize {
        SPENT.with(|spent| self.units.saturating_add(spent.units.get()))
    }
}

/// Reads after the deadline of a wait. A message that lies in the socket is still received, but a peer that sends all
/// the time and never a message must not extend the wait.
#[derive(Debug, Default)]
pub struct LastLooks {
    reads: usize,
}

impl LastLooks {
    /// Number of reads for which there is always time.
    const MIN_READS: usize = 8;
    /// Number of reads after which the wait is over.
    const MAX_READS: usize = 64;
    /// Time for further reads.
    const GRACE: Duration = Duration::from_millis(5);

    /// Returns `true` if there may be one more read, at this time after the deadline.
    pub fn may_look(&mut self, late_by: Duration) -> bool {
        self.reads = self.reads.saturating_add(1);
        self.reads < Self::MAX_READS && (self.reads <= Self::MIN_READS || late_by < Self::GRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_that_end_early_write_after_the_work_of_one_turn_or_after_eight() {
        let mut writes = DeferredWrites::default();
        begin_turn(None);
        for _ in 0..3 {
            assert_eq!(
                [(); 8].map(|()| writes.end_turn()),
                [false, false, false, false, false, false, false, true]
            );
        }
        // Two thirds of the work of a turn, twice.
        spend(Work::Read(WORK_PER_TURN / 3 * 2));
        assert!(!writes.is_turn_over() && !writes.end_turn());
        begin_turn(None);
        spend(Work::Read(WORK_PER_TURN / 3));
        assert!(!writes.is_turn_over());
        spend(Work::Read(WORK_PER_TURN / 3));
        assert!(writes.is_turn_over() && writes.end_turn());
        begin_turn(None);
        assert!(!writes.end_turn());
    }

    #[test]
    fn all_kinds_of_work_spend_one_budget() {
        for (work, most) in [
            (Work::Read(1), 16),
            (Work::Read(96 << 10), 3),
            (Work::Message(0), 256),
            (Work::Message(64 << 10), 4),
            (Work::Message(64 << 20), 1),
            (Work::Control, 2048),
            (Work::Inflating, 1),
            (Work::Write(0), 128),
            (Work::Write(1 << 20), 1),
        ] {
            begin_turn(None);
            let mut count = 0;
            while !is_spent() {
                spend(work);
                count += 1;
            }
            assert_eq!(count, most, "{work:?}");
            assert!(is_turn_over(), "{work:?}");
        }
        begin_turn(None);
        for work in [Work::Read(96 << 10), Work::Message(96 << 10), Work::Write(400 << 10)] {
            assert!(!is_spent());
            spend(work);
        }
        assert!(is_spent());
    }

    #[test]
    fn a_turn_is_over_when_its_time_has_passed() {
        let long_ago = Instant::now().checked_sub(TURN_TIME);
        begin_turn(long_ago);
        assert!(!is_turn_over(), "without any work, the clock is not read");
        spend(Work::Control);
        assert!(is_turn_over());
        assert!(!is_spent());
    }

    #[test]
    fn a_late_wait_is_over_after_some_reads_and_some_time() {
        let mut reads = LastLooks::default();
        assert!((0..8).all(|_| reads.may_look(Duration::from_secs(9))));
        assert!(!reads.may_look(Duration::from_secs(9)));
        let mut reads = LastLooks::default();
        assert_eq!((0..1000).filter(|_| reads.may_look(Duration::ZERO)).count(), 63);
    }
}
