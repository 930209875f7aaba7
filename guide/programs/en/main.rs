#![forbid(unsafe_code)]
#![allow(clippy::needless_pass_by_value, reason = "handlers own their arguments")]
//! The programs that the guide prints: `guide_programs NAME` runs one of them.

use std::{
    env,
    process::{ExitCode, Termination as _},
};

/// Declares a module for each program and a function that runs a program by its name.
macro_rules! programs {
    ($($program:ident)*) => {
        $(mod $program {
            include!(concat!(stringify!($program), ".rs"));

            pub(super) fn run() -> super::ExitCode {
                use std::process::Termination as _;
                main().report()
            }
        })*

        /// Returns `None` if there is no such program.
        fn run(name: &str) -> Option<ExitCode> {
            match name {
                $(stringify!($program) => Some($program::run()),)*
                _ => None,
            }
        }
    };
}

programs! {
    addresses
    async_echo_client
    async_echo_server
    async_state
    authentication
    broadcasting
    certificate_rotation
    chat_room
    closing
    compression
    echo_client
    echo_server
    executor
    first_message
    from_cpp_httplib
    from_network_system
    graceful_shutdown
    handler_test
    health_checks
    json
    keepalive
    limits
    logging
    metrics
    mio_server
    mutual_tls
    origin_check
    proxies
    reconnecting
    request
    rooms
    routes
    sending_from_threads
    sharing_state
    slow_consumers
    state_machine
    streaming
    subprotocols
    text_and_binary
    threads
    timeouts
    tls_client
    tls_server
    virtual_clock
}

fn main() -> ExitCode {
    let name = env::args().nth(1).unwrap_or_default();
    run(&name).unwrap_or_else(|| Err::<(), _>(format!("there is no program {name:?}")).report())
}
