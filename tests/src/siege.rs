//! What has to hold while somebody attacks: others are served, memory is bounded, and no descriptor is left.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{eventually, kernel, let_pass};

/// The longest that somebody who is not attacked may wait for an answer, on a machine that is busy with the
/// attack and with something else.
pub const LATENCY: Duration = Duration::from_secs(5);

/// Memory and descriptors belong to the whole process: one siege at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// To be held around a test's sieges, and around its time limit.
pub fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs an attack that may cost so many bytes of memory, beside its own that are made before, while a
/// witness asks again and again for an answer. Everything that the attack has opened must be closed soon
/// after it. `prepare` makes the witness, and what the attack needs.
pub fn besiege<S, W: FnMut() + Send + 'static>(
    cost: usize,
    prepare: impl FnOnce() -> (S, W),
    attack: impl FnOnce(&S),
) {
    let (stage, mut ask) = prepare();
    // Whatever is made once, by the first connection, stays.
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

/// Somebody who is not attacked.
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
                // One who asks now and then, and leaves the machine to the attack in between.
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

    /// The longest that it waited.
    fn stop(self) -> Duration {
        self.stopped.store(true, Relaxed);
        self.asking.join().expect("a witness without complaints")
    }
}
