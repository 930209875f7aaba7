use std::{
    panic,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// Time limit of a test: longer than any test takes, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the body of a test, and fails the test if the body takes more than a minute.
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
        // A panicking test has dropped its end of the channel.
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            if let Err(payload) = test.join() {
                panic::resume_unwind(payload);
            }
        }
    }
}

/// Tolerance for tested durations on a busy machine.
pub const SLACK: Duration = Duration::from_secs(4);

/// Runs a function that has to take this long, give or take a tick of the kernel's clock, and returns its result.
pub fn takes<T>(expected: Duration, run: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = run();
    let took = began.elapsed();
    assert!(took + Duration::from_millis(10) >= expected && took < expected + SLACK, "it took {took:?}");
    result
}

/// Waits for a condition that sends no notification, such as the contents of `/proc`.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "it never became true: {what}");
        // There is no event to wait for. The sleep only keeps the loop from using a whole core.
        thread::sleep(Duration::from_millis(1));
    }
}

/// Lets time pass where the test is about time: a deliberately slow peer, or an application that pauses. Do not use
/// it to wait for an event.
pub fn let_pass(time: Duration) {
    thread::sleep(time);
}
