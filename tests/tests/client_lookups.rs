//! The number of lookups that hang is limited in a process, so that this is the only test of its process.

use std::{
    io,
    sync::{Arc, Barrier, Mutex, mpsc},
    thread,
    time::Duration,
};

use ws_std::{Client, Error, TimeoutKind};
use ws_tests::{bounded, eventually, kernel};

fn expect_busy(error: &Error) {
    match error {
        Error::Io(error) => assert_eq!(error.kind(), io::ErrorKind::ResourceBusy, "{error}"),
        error => panic!("{error}"),
    }
}

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
        // It starts the threads that async sockets and lookups need.
        smol::block_on(ws_smol::connect("ws://localhost:1/")).unwrap_err();
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
        let error = client.clone().connect().unwrap_err();
        expect_busy(&error);
        // The limit is that of the process, and not of an adapter.
        let smol = ws_smol::Client::new("ws://host.test/").resolver(|_, _| Ok(Vec::new()));
        expect_busy(&smol::block_on(smol.connect()).unwrap_err());
        drop(release);
        eventually("the threads have ended", || kernel::threads() <= before);
        match client.connect() {
            Err(Error::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}"),
            result => panic!("{result:?}"),
        }
    });
}
