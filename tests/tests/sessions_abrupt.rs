//! Sessions of peers that vanish. This is the only test of its program, because it counts the descriptors of the
//! process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    thread,
};

use ws_std::{Callbacks, Rooms, SessionId, Sessions};
use ws_tests::{
    PATIENCE, Raw, bounded,
    either::{Adapter, Route, Server},
    eventually, kernel,
    wire::Frame,
};

const CLIENTS: usize = 500;

/// Number of calls of `on_connect` and `on_disconnect` for each session, and number of errors.
#[derive(Default)]
struct Told {
    begun_and_ended: HashMap<SessionId, (usize, usize)>,
    errors: usize,
    /// Number of sessions that ended cleanly, or were still in a set in `on_disconnect`.
    wrong: usize,
}

/// Connects, and disconnects in one of five ways without a Close.
fn come_and_vanish(server: &ws_tests::either::Running, number: usize) {
    let mut raw = Raw::open(server.address(), &format!("/{}", number % 7));
    assert_eq!(raw.frame(), Frame::text("welcome"));
    let partial = &Frame::text("broken off").masked().encode()[..9];
    match number % 5 {
        0 => raw.reset(),
        1 => drop(raw),
        2 => raw.write(partial),
        3 => {
            raw.write(partial);
            raw.reset();
        }
        _ => {
            // In the middle of a message, with replies in flight.
            let flood = Frame::text("flood").masked().encode().repeat(2000);
            raw.write(flood);
            raw.reset();
        }
    }
}

fn vanish(adapter: Adapter) {
    let (everyone, rooms, told) = (Sessions::new(), Rooms::new(), Arc::new(Mutex::new(Told::default())));
    let callbacks = {
        let (rooms, begun, ended, failed) = (rooms.clone(), told.clone(), told.clone(), told.clone());
        let all = everyone.clone();
        Callbacks::new()
            .sessions(&everyone)
            .on_connect(move |session| {
                begun.lock().unwrap().begun_and_ended.entry(session.id()).or_default().0 += 1;
                rooms.join(session.parameter("room").unwrap(), session);
                let _ = session.send("welcome");
            })
            .on_message(|session, message| {
                let _ = session.feed(message);
            })
            .on_error(move |_, _| failed.lock().unwrap().errors += 1)
            .on_disconnect(move |session, close_info| {
                let told = &mut *ended.lock().unwrap();
                told.wrong += usize::from(close_info.was_clean || all.contains(session.id()));
                told.begun_and_ended.entry(session.id()).or_default().1 += 1;
            })
    };
    let server = Server::new(adapter).mount("/:room", Route::callbacks(adapter, callbacks)).start();
    thread::scope(|scope| {
        for first in 0..8 {
            let server = &server;
            scope.spawn(move || {
                (first..CLIENTS).step_by(8).for_each(|number| come_and_vanish(server, number));
            });
        }
    });
    eventually("all have ended", || {
        let told = told.lock().unwrap();
        told.begun_and_ended.len() == CLIENTS && told.begun_and_ended.values().all(|&(_, ended)| ended > 0)
    });
    assert!(server.handle().stop(PATIENCE), "nothing was left to be broken off");
    let told = told.lock().unwrap();
    assert!(told.begun_and_ended.values().all(|&told| told == (1, 1)), "{:?}", told.begun_and_ended);
    assert_eq!((told.errors, told.wrong), (CLIENTS, 0), "each was an error");
    assert!(everyone.is_empty() && rooms.all().is_empty());
    let stats = everyone.stats();
    assert_eq!((stats.open, stats.opened), (0, CLIENTS as u64));
}

#[test]
fn each_of_500_abrupt_ends_is_reported_once_and_leaks_nothing() {
    bounded(|| {
        // Descriptors that the process opens once: the reactor of `smol`, and the thread that writes for slow peers.
        vanish(Adapter::Smol);
        vanish(Adapter::Std);
        let before = kernel::file_descriptors();
        vanish(Adapter::Smol);
        vanish(Adapter::Std);
        // The thread that writes for slow peers keeps its descriptors for a moment.
        eventually("no descriptor is left", || kernel::file_descriptors() <= before);
    });
}
