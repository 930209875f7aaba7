//! Servers that have no memory for a message. The only test of its program, because it limits the memory of the whole
//! process.

use std::{fs, sync::mpsc, thread};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use ws_tests::{
    Raw, bounded,
    either::{Adapter, Route, Server},
    wire::Frame,
};

/// Memory that the process may allocate beyond the memory that it has.
const FREE: u64 = 64 << 20;
/// Size of the message, of which the process can hold only a small part.
const MESSAGE: u64 = 1 << 30;

#[test]
fn a_message_for_which_there_is_no_memory_ends_only_its_connection() {
    bounded(|| {
        for adapter in [Adapter::Std, Adapter::Smol] {
            let server = Server::new(adapter).mount("/", Route::echo(adapter));
            let server = server.configure(|config| config.max_message_size = usize::MAX).start();
            let (mut other, raw) = (Raw::open(server.address(), "/"), Raw::open(server.address(), "/"));
            // The threads and buffers exist before the limit.
            (0..100).for_each(|_| expect_echo(&mut other));
            let mut reader = Raw::from(raw.socket().try_clone().unwrap());
            let (start, started) = mpsc::channel();
            let reading = thread::spawn(move || {
                start.send(()).unwrap();
                reader.frame()
            });
            started.recv().unwrap();
            let piece = vec![0; 1 << 20];
            let all = getrlimit(Resource::As);
            setrlimit(Resource::As, Rlimit { current: Some(address_space() + FREE), ..all }).unwrap();
            // A binary message with a mask of zeros.
            raw.write([&[0x82, 0xFF][..], &MESSAGE.to_be_bytes(), &[0; 4]].concat());
            for _ in 0..MESSAGE >> 20 {
                if reading.is_finished() || raw.try_write(&piece).is_err() {
                    break;
                }
            }
            let close = reading.join().unwrap();
            assert_eq!(close.code_and_reason().0, 1009, "{adapter:?}");
            expect_echo(&mut other);
            setrlimit(Resource::As, all).unwrap();
        }
    });
}

fn expect_echo(raw: &mut Raw) {
    raw.send(Frame::text("still there?"));
    assert_eq!(raw.frame().payload, b"still there?");
}

fn address_space() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64
}
