//! Threads that start on demand, are used again, and are never more than so many.

use std::{
    collections::VecDeque,
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// What a thread does: serve one connection to its end.
type Job = Box<dyn FnOnce() + Send>;

pub(super) struct Pool {
    state: Mutex<State>,
    changed: Condvar,
    most: usize,
}

#[derive(Default)]
struct State {
    /// Jobs that idle threads have been woken for.
    jobs: VecDeque<Job>,
    idle: usize,
    threads: usize,
    closed: bool,
}

impl Pool {
    /// How long a thread waits for another connection before it ends.
    const IDLE: Duration = Duration::from_secs(10);

    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), most })
    }

    /// Gives the job to an idle thread, or else to a new one.
    ///
    /// # Errors
    ///
    /// All threads are busy, or no more can be started; the job is dropped.
    pub(super) fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.lock();
        if state.jobs.len() < state.idle {
            state.jobs.push_back(Box::new(job));
            self.changed.notify_one();
            return Ok(());
        }
        if state.threads >= self.most {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.threads += 1;
        drop(state);
        let pool = self.clone();
        let work = move || {
            job();
            pool.work();
        };
        if let Err(error) = thread::Builder::new().name("ws-connection".into()).spawn(work) {
            self.lock().threads -= 1;
            return Err(error);
        }
        Ok(())
    }

    /// Lets the threads end when they have nothing to do, and waits for that; tells whether all did.
    pub(super) fn close(&self, deadline: Instant) -> bool {
        let mut state = self.lock();
        state.closed = true;
        self.changed.notify_all();
        while state.threads > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn work(&self) {
        while let Some(job) = self.next_job() {
            job();
        }
    }

    /// Waits for a job; `None` ends the thread.
    fn next_job(&self) -> Option<Job> {
        let mut state = self.lock();
        state.idle += 1;
        let deadline = Instant::now() + Self::IDLE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let job = state.jobs.pop_front();
            if job.is_some() || state.closed || left.is_zero() {
                state.idle -= 1;
                if job.is_none() {
                    state.threads -= 1;
                    self.changed.notify_all();
                }
                return job;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        write!(f, "Pool({} threads, {} idle, at most {})", state.threads, state.idle, self.most)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn threads_start_on_demand_are_reused_and_bounded() {
        let pool = Pool::new(2);
        let (started, starts) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let job = || {
            let (started, released) = (started.clone(), released.clone());
            move || {
                started.send(thread::current().id()).unwrap();
                released.lock().unwrap().recv().unwrap();
            }
        };
        pool.run(job()).unwrap();
        pool.run(job()).unwrap();
        let first = [starts.recv().unwrap(), starts.recv().unwrap()];
        assert!(pool.run(job()).is_err(), "a third thread");
        release.send(()).unwrap();
        // The thread that is free takes the next job; until it is, there is no place for one.
        while pool.run(job()).is_err() {
            thread::yield_now();
        }
        assert!(first.contains(&starts.recv().unwrap()));
        release.send(()).unwrap();
        release.send(()).unwrap();
        assert!(pool.close(Instant::now() + Duration::from_secs(5)));
    }
}
