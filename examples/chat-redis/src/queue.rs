use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use smol::channel::{self, Receiver, Sender};
use ws_chat::{Claim, protocol::Event};

/// A job for the writer: one change in Redis.
#[derive(Debug)]
pub(crate) enum Job {
    Say { room: String, event: Event },
    Claim { claim: Claim, since: Instant },
    Restore { claim: Claim },
    Release { room: String, nick: String, session: u64 },
}

/// The jobs that wait for the writer, oldest first.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Contains one message after a job was added or the queue was closed.
    changed: (Sender<()>, Receiver<()>),
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// The queue is full or closed. Returns the job.
#[derive(Debug)]
pub(crate) struct Full(pub(crate) Job);

impl Queue {
    /// Maximum number of waiting jobs. It bounds the memory while Redis is unreachable.
    pub(crate) const CAPACITY: usize = 1024;

    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), changed: channel::bounded(1) }
    }

    pub(crate) fn push(&self, job: Job) -> Result<(), Full> {
        let mut state = self.state();
        if state.closed || state.jobs.len() >= Self::CAPACITY {
            return Err(Full(job));
        }
        state.jobs.push_back(job);
        drop(state);
        let _ = self.changed.0.try_send(()); // if it is full, the writer is about to look
        Ok(())
    }

    /// Waits for jobs and moves at most `most` of them to `batch`. Returns `false` if the queue is closed and empty.
    pub(crate) async fn take(&self, batch: &mut Vec<Job>, most: usize) -> bool {
        loop {
            {
                let mut state = self.state();
                let count = state.jobs.len().min(most);
                batch.extend(state.jobs.drain(..count));
                if count > 0 {
                    return true;
                }
                if state.closed {
                    return false;
                }
            }
            let _ = self.changed.1.recv().await;
        }
    }

    /// Changes the waiting jobs in place.
    pub(crate) fn for_each(&self, change: impl FnMut(&mut Job)) {
        self.state().jobs.iter_mut().for_each(change);
    }

    /// Closes the queue: later jobs are refused.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        let _ = self.changed.0.try_send(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(session: usize) -> Job {
        Job::Release { room: String::new(), nick: String::new(), session: session as u64 }
    }

    #[test]
    fn a_full_queue_refuses_new_jobs_and_keeps_the_order() {
        let queue = Queue::new();
        assert!((0..Queue::CAPACITY).all(|number| queue.push(job(number)).is_ok()));
        assert!(queue.push(job(0)).is_err());
        let mut batch = Vec::new();
        assert!(smol::block_on(queue.take(&mut batch, Queue::CAPACITY * 2)));
        let sessions = batch.iter().map(|job| match job {
            Job::Release { session, .. } => *session,
            _ => u64::MAX,
        });
        assert!(sessions.eq(0..Queue::CAPACITY as u64));
    }

    #[test]
    fn a_closed_queue_refuses_jobs_and_ends_when_it_is_empty() {
        let (queue, mut batch) = (Queue::new(), Vec::new());
        queue.push(job(1)).unwrap();
        queue.close();
        assert!(queue.push(job(2)).is_err());
        assert!(smol::block_on(queue.take(&mut batch, 64)));
        assert!(!smol::block_on(queue.take(&mut batch, 64)));
        assert_eq!(batch.len(), 1);
    }
}
