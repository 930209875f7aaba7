//! Conditions during an attack: other clients are served, memory is bounded, and all descriptors are closed
//! afterwards.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{eventually, kernel, let_pass};

/// Maximum response time for a client that is not attacking, on a machine that is busy with the attack and other
/// work.
pub const LATENCY: Duration = Duration::from_secs(5);

/// Permits one siege at a time, because memory and descriptors belong to the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// Returns the lock. Hold it around the sieges of a test and around its time limit.
pub fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs an attack that may use this number of bytes of memory, apart from memory that it allocates before. Meanwhile
/// a witness repeatedly sends requests and checks the response time. All connections of the attack must be closed
/// soon after it. `prepare` creates the witness and the data of the attack.
pub fn besiege<S, W: FnMut() + Send + 'static>(
    cost: usize,
    prepare: impl FnOnce() -> (S, W),
    attack: impl FnOnce(&S),
) {
    let (stage, mut ask) = prepare();
    // The first connection creates data that stays for the whole process.
    ask();
    let witness = Witness::start(ask);
    let descriptors = kernel::file_descriptors();
    kernel::forget_peak();
    let before = kernel::peak_memory();
    let asked = witness.answers();
    attack(&stage);
    let grown = kernel::peak_memory().saturating_sub(before);
    assert!(grown < cost, "the attack cost {} KiB of {} KiB", grown >> 10, cost >> 10);
    eventually("the witness is still served", || witness.answers() > asked || !witness.is_well());
    eventually("all descriptors are closed", || kernel::file_descriptors() <= descriptors);
    let longest = witness.stop();
    assert!(longest < LATENCY, "the witness waited {longest:?}");
    drop(stage);
}

/// A client that is not part of the attack.
struct Witness {
    asking: JoinHandle<Duration>,
    stopped: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
}

impl Witness {
    fn start(mut ask: impl FnMut() + Send + 'static) -> Self {
        let (stopped, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stop, count) = (stopped.clone(), answers.clone());
        let asking = thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !stop.load(Relaxed) {
                let began = Instant::now();
                ask();
                longest = longest.max(began.elapsed());
                count.fetch_add(1, Relaxed);
                // A pause between two requests leaves the machine to the attack.
                let_pass(Duration::from_millis(2));
            }
            longest
        });
        Self { asking, stopped, answers }
    }

    fn answers(&self) -> usize {
        self.answers.load(Relaxed)
    }

    fn is_well(&self) -> bool {
        !self.asking.is_finished()
    }

    /// Returns the longest response time.
    fn stop(self) -> Duration {
        self.stopped.store(true, Relaxed);
        self.asking.join().expect("a witness without complaints")
    }
}
