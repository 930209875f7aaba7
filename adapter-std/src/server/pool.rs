//! A thread pool. Threads start on demand and are reused. A minimum number stays, and a maximum is never exceeded.

use std::{
    cell::Cell,
    collections::VecDeque,
    fmt, io,
    ops::RangeInclusive,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ws_sessions::guard;

use crate::threads;

/// The work of a thread: serving one connection to its end. See [`Server::spawner`](crate::Server::spawner).
pub type Job = Box<dyn FnOnce() + Send>;

pub(super) type Spawner = dyn Fn(Job) + Send + Sync;

thread_local! {
    /// The pool of this thread, or zero.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

pub(super) struct ThreadPool {
    state: Mutex<PoolState>,
    changed: Condvar,
    least: usize,
    most: usize,
    /// Maximum idle time of a thread beyond the minimum. Then it ends.
    idle_timeout: Duration,
    /// The application's threads, in place of those of this pool.
    spawner: Option<Box<Spawner>>,
}

#[derive(Default)]
struct PoolState {
    /// Jobs for idle threads that have already been woken.
    jobs: VecDeque<Job>,
    idle: usize,
    threads: usize,
    closed: bool,
}

/// A thread's slot in the pool. Dropping it frees the slot.
struct Slot {
    pool: Arc<ThreadPool>,
    /// `true` if the thread freed the slot when it decided to end.
    is_returned: bool,
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.is_returned {
            self.pool.lock().threads -= 1;
            self.pool.changed.notify_all();
        }
    }
}

impl ThreadPool {
    const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

    pub(super) fn new(threads: &RangeInclusive<usize>, spawner: Option<Box<Spawner>>) -> Arc<Self> {
        Self::with_idle_timeout(threads, Self::IDLE_TIMEOUT, spawner)
    }

    fn with_idle_timeout(
        threads: &RangeInclusive<usize>,
        idle_timeout: Duration,
        spawner: Option<Box<Spawner>>,
    ) -> Arc<Self> {
        let (least, most) = (*threads.start(), *threads.end());
        Arc::new(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            least,
            most,
            idle_timeout,
            spawner,
        })
    }

    /// Starts the minimum number of threads: either all or none.
    ///
    /// # Errors
    ///
    /// Returns an error if the operating system cannot start all of them. In this case the threads that were started
    /// have ended.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<()> {
        if self.spawner.is_some() {
            return Ok(());
        }
        for started in 0..self.least {
            self.lock().threads += 1;
            if let Err(error) = self.spawn(|| ()) {
                // These threads are idle, so they end as soon as they wake up.
                self.close(Some(Instant::now() + Self::IDLE_TIMEOUT));
                let text = format!(
                    "the operating system started {started} of the {} threads that the server's `threads` ask for: \
                     {error}. Ask for fewer or raise the limit",
                    self.least
                );
                return Err(io::Error::new(error.kind(), text));
            }
        }
        Ok(())
    }

    /// Passes the job to an idle thread, or else to a new one.
    ///
    /// # Errors
    ///
    /// Returns an error if all threads are busy and no more can be started. The job is dropped.
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
        self.spawn(job)
    }

    /// Starts a thread that is already counted, with a first job.
    fn spawn(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut slot = Slot { pool: self.clone(), is_returned: false };
        if let Some(spawn) = &self.spawner {
            // If the application drops the job, the slot is free again.
            let job: Job = Box::new(move || slot.run(job));
            return guard(|| spawn(job)).map_err(io::Error::other);
        }
        let work = move || {
            CURRENT.set(slot.pool.id());
            // A job catches panics of the application's code. A panic of the job itself ends only this job, and not
            // the thread.
            let _ = guard(job);
            while let Some(job) = slot.next_job() {
                let _ = guard(job);
            }
        };
        threads::start("ws-connection", work)
    }

    /// Ends the threads when they are idle, and waits for this until the deadline. Returns `true` if all threads
    /// except the calling one have ended.
    pub(super) fn close(&self, deadline: Option<Instant>) -> bool {
        let own = usize::from(CURRENT.get() == self.id());
        let mut state = self.lock();
        state.closed = true;
        self.changed.notify_all();
        while state.threads > own {
            state = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return false,
                Some(left) => {
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        true
    }

    /// Returns a number other than zero that is unique among the existing pools.
    fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Runs one job on a thread of the application.
    fn run(self, job: impl FnOnce()) {
        let outer = CURRENT.replace(self.pool.id());
        let _ = guard(job);
        CURRENT.set(outer);
    }

    /// Waits for a job. With `None`, the thread has to end.
    fn next_job(&mut self) -> Option<Job> {
        let pool = &self.pool;
        let mut state = pool.lock();
        state.idle += 1;
        let deadline = Instant::now() + pool.idle_timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let job = state.jobs.pop_front();
            let stays = state.threads <= pool.least;
            if job.is_some() || state.closed || (left.is_zero() && !stays) {
                state.idle -= 1;
                if job.is_none() {
                    state.threads -= 1;
                    self.is_returned = true;
                    pool.changed.notify_all();
                }
                return job;
            }
            if stays {
                state = pool.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state = pool.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        write!(f, "ThreadPool({} threads, {} idle, at most {})", state.threads, state.idle, self.most)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn threads_start_on_demand_are_reused_and_bounded() {
        let pool = ThreadPool::new(&(0..=2), None);
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
        // The idle thread takes the next job. Until it is idle, `run` fails.
        while pool.run(job()).is_err() {
            thread::yield_now();
        }
        assert!(first.contains(&starts.recv().unwrap()));
        release.send(()).unwrap();
        release.send(()).unwrap();
        assert!(pool.close(Some(Instant::now() + Duration::from_secs(5))));
    }

    #[test]
    fn the_least_threads_are_there_before_any_job_and_stay() {
        let pool = ThreadPool::with_idle_timeout(&(2..=4), Duration::from_millis(1), None);
        pool.start().unwrap();
        while pool.lock().idle < 2 {
            thread::yield_now();
        }
        assert_eq!(pool.lock().threads, 2);
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        for _ in 0..4 {
            let released = released.clone();
            pool.run(move || released.lock().unwrap().recv().unwrap()).unwrap();
        }
        assert_eq!(pool.lock().threads, 4);
        (0..4).for_each(|_| release.send(()).unwrap());
        // The threads beyond the minimum end soon.
        while pool.lock().threads > 2 || pool.lock().idle < 2 {
            thread::yield_now();
        }
        assert!(pool.run(|| ()).is_ok());
        assert!(pool.close(Some(Instant::now() + Duration::from_secs(5))));
    }
}
