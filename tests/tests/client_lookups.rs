//! The number of lookups that hang is limited in a process, so that this is the only test of its process.

use std::{
    io,
    sync::{Arc, Barrier, Mutex, mpsc},
    thread,
    time::Duration,
};

use ws_std::{Client, Error, TimeoutKind};
use ws_tests::{bounded, eventually, kernel};

#[test]
fn lookups_that_hang_do_not_use_up_all_threads() {
    const MAX_LOOKUPS: usize = 64;
    bounded(|| {
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let client = Client::new("ws://host.test/").resolver(move |_, _| {
            let _ = released.lock().unwrap().recv();
            Err(io::ErrorKind::NotFound.into())
        });
        let short = Duration::from_millis(100);
        let client = client.configure_connect(|config| config.resolve_timeout = Some(short));
        let before = kernel::threads();
        let begin = Arc::new(Barrier::new(MAX_LOOKUPS));
        let waiting: Vec<_> = (0..MAX_LOOKUPS)
            .map(|_| {
                let (client, begin) = (client.clone(), begin.clone());
                thread::spawn(move || {
                    begin.wait();
                    client.connect().unwrap_err()
                })
            })
            .collect();
        for waiting in waiting {
            let error = waiting.join().unwrap();
            assert!(matches!(error, Error::Timeout(TimeoutKind::Resolve)), "{error}");
        }
        match client.clone().connect() {
            Err(Error::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::ResourceBusy, "{error}"),
            result => panic!("{result:?}"),
        }
        drop(release);
        eventually("the threads have ended", || kernel::threads() <= before);
        match client.connect() {
            Err(Error::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}"),
            result => panic!("{result:?}"),
        }
    });
}
