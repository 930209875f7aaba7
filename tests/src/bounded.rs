use std::{
    panic,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// Longer than any test takes, on a machine that is busy with something else.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a test's body, and fails the test if it is not over after a minute.
pub fn bounded(body: impl FnOnce() + Send + 'static) {
    let (over, is_over) = mpsc::channel();
    let test = thread::Builder::new();
    let test = test.name(thread::current().name().unwrap_or_default().to_owned()).spawn(move || {
        body();
        let _ = over.send(());
    });
    let test = test.expect("a thread for the test");
    match is_over.recv_timeout(LIMIT) {
        Err(RecvTimeoutError::Timeout) => panic!("the test is not over after {LIMIT:?}"),
        // A test that panicked has dropped its end.
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            if let Err(payload) = test.join() {
                panic::resume_unwind(payload);
            }
        }
    }
}

/// What a busy machine may add to a duration that is tested.
pub const SLACK: Duration = Duration::from_secs(4);

/// Runs something that has to take so long, give or take a tick of the kernel's clock, and gives what it
/// gives.
pub fn takes<T>(expected: Duration, run: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = run();
    let took = began.elapsed();
    assert!(took + Duration::from_millis(10) >= expected && took < expected + SLACK, "it took {took:?}");
    result
}

/// Waits until something holds that nobody tells about, such as what the kernel shows in `/proc`.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "it never became true: {what}");
        // No event reports this condition, so it is looked at again. The pause leaves the core to others.
        thread::sleep(Duration::from_millis(1));
    }
}

/// Lets time pass, where time is what is tested: a peer that is slow on purpose, an application that is
/// away for a while. Not to wait for anything.
pub fn let_pass(time: Duration) {
    // The time itself is the subject of the test: a shorter or longer pause would test something else.
    thread::sleep(time);
}
