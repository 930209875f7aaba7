//! A server that the system gives too few threads. The only test of its program, because it limits the memory of the
//! whole process.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use ws_std::{Error, Server};
use ws_tests::{bounded, eventually, kernel};

#[test]
fn a_server_that_cannot_start_its_threads_leaves_none_behind() {
    bounded(|| {
        let before = kernel::threads();
        let listener = Server::new().threads(512..=512).bind("127.0.0.1:0").unwrap();
        let all = getrlimit(Resource::As);
        // Enough for some of the stacks.
        let little = address_space() + (64 << 20);
        setrlimit(Resource::As, Rlimit { current: Some(little), ..all }).unwrap();
        let served = listener.serve();
        setrlimit(Resource::As, all).unwrap();
        let Err(Error::Io(error)) = served else { panic!("{served:?}") };
        assert!(error.to_string().contains("512 threads"), "{error}");
        eventually("the threads have ended", || kernel::threads() == before);
    });
}

fn address_space() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}
