//! CPU time of idle connections. It is the time of the whole process, so this is the only test of its program.

use std::time::Duration;

use ws_tests::{
    Raw, bounded,
    either::{Adapter, Route, Server},
    kernel, let_pass,
};

const CONNECTIONS: usize = 1_000;
const PERIOD: Duration = Duration::from_secs(2);

#[test]
fn idle_connections_without_a_close_timeout_use_no_processor_time() {
    bounded(|| {
        for adapter in [Adapter::Std, Adapter::Smol] {
            let server = Server::new(adapter).mount("/", Route::echo(adapter)).configure(|config| {
                config.close_timeout = Duration::ZERO;
                config.keepalive = None;
            });
            let server = server.start();
            let _raws = (0..CONNECTIONS).map(|_| Raw::open(server.address(), "/")).collect::<Vec<_>>();
            let before = kernel::cpu_time();
            // The test measures a period without events.
            let_pass(PERIOD);
            let used = kernel::cpu_time() - before;
            assert!(used < PERIOD / 100, "{adapter:?}: {used:?} in {PERIOD:?}");
            println!("{adapter:?}: {used:?} in {PERIOD:?}");
        }
    });
}
