//! Callbacks that cause other callbacks, without sockets.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use ws_core::{Chunk, CloseCode, CloseInfo, Config, Connection, Message, Timestamp};
use ws_sessions::{Callbacks, PeerInfo, Rooms, Session, SessionBackend, SessionGuard, Sessions};
use ws_transport::{Backlog, Driver, Error, MessageAssembler, Network, Outgoing, Overflow, SendOutcome};

/// A connection with a peer that reads nothing, so that its first message is dropped.
#[derive(Debug)]
struct Lagging {
    driver: Mutex<Driver>,
}

impl Lagging {
    fn new(config: &Arc<Config>) -> Self {
        let driver = Driver::new(Connection::server(config.clone(), Timestamp::ZERO), None);
        Self { driver: Mutex::new(driver) }
    }
}

impl SessionBackend for Lagging {
    fn post(self: Arc<Self>, outgoing: Outgoing<'_>) -> Result<SendOutcome, Error> {
        let backlog = || Backlog { messages: 0, bytes: 0, overflow: Overflow::DropNewest };
        let outgoing = Outgoing { backlog: &backlog, ..outgoing };
        self.driver.lock().unwrap().post(outgoing, Network::Refuses)
    }

    fn ping(self: Arc<Self>, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn close(self: Arc<Self>, code: CloseCode, reason: &str) -> Result<(), Error> {
        let _ = self.driver.lock().unwrap().close(code, reason); // closing may have begun already
        Ok(())
    }

    fn end(&self) -> CloseInfo {
        let mut driver = self.driver.lock().unwrap();
        driver.connection.receive_eof();
        driver.connection.close_info().unwrap()
    }

    fn assemble(&self, assembler: &mut MessageAssembler, chunk: Chunk<'_>) -> Option<Message<'static>> {
        self.driver.lock().unwrap().assemble(assembler, chunk)
    }

    fn abort(&self) {
        self.end();
    }

    fn look(&self, look: &mut dyn FnMut(&Driver)) {
        look(&self.driver.lock().unwrap());
    }
}

/// Runs a test in a thread with a stack of 256 KiB.
fn on_small_stack(test: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(256 << 10).spawn(test).unwrap().join().unwrap();
}

/// Returns this number of sessions with lagging peers. A session ends when it is dropped.
fn attend(count: usize, callbacks: Callbacks) -> Vec<SessionGuard> {
    let (callbacks, config) = (Arc::new(callbacks), Arc::default());
    let attend = || {
        let mut attendance =
            SessionGuard::new(callbacks.clone(), Arc::new(Lagging::new(&config)), PeerInfo::default());
        attendance.connect(None);
        attendance
    };
    (0..count).map(|_| attend()).collect()
}

thread_local! {
    /// Number of callbacks that run in this thread, one inside the other.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Runs a callback, and fails the test if it runs inside another one.
fn alone(callback: impl FnOnce()) {
    assert_eq!(DEPTH.replace(1), 0, "a callback inside a callback");
    callback();
    DEPTH.set(0);
}

#[test]
fn a_broadcast_from_on_lagging_does_not_grow_the_stack() {
    on_small_stack(|| {
        const SESSIONS: usize = 20_000;
        let (everyone, rooms) = (Sessions::new(), Rooms::new());
        let calls = Arc::new(AtomicUsize::new(0));
        let (all, counted, joined) = (everyone.clone(), calls.clone(), rooms.clone());
        let callbacks = Callbacks::new()
            .sessions(&everyone)
            .on_connect({
                let next = AtomicUsize::new(0);
                move |session| {
                    // Each session shares a room with the previous one, so that a broadcast of one reaches the next.
                    let number = next.fetch_add(1, SeqCst);
                    joined.join(&format!("{number}"), session);
                    joined.join(&format!("{}", number + 1), session);
                    session.set_data(number);
                }
            })
            .on_lagging(move |session, _| {
                alone(|| {
                    let number = *session.data::<usize>().unwrap();
                    rooms.get(&format!("{}", number + 1)).unwrap().broadcast("a session lags");
                    if counted.fetch_add(1, SeqCst) % (SESSIONS / 4) == 0 {
                        all.broadcast("many sessions lag");
                    }
                });
            });
        let attendances = attend(SESSIONS, callbacks);
        assert_eq!(everyone.broadcast("hello"), SESSIONS);
        assert_eq!(calls.load(SeqCst), SESSIONS);
        assert!(attendances.iter().all(|attendance| attendance.session().stats().lagged == 1));
    });
}

#[test]
fn a_broadcast_to_all_from_on_lagging_reaches_all_each_time() {
    on_small_stack(|| {
        const SESSIONS: usize = 1_000;
        let everyone = Sessions::new();
        let all = everyone.clone();
        let callbacks = Callbacks::new()
            .sessions(&everyone)
            .on_lagging(move |_, _| alone(|| assert_eq!(all.broadcast("a session lags"), SESSIONS)));
        let attendances = attend(SESSIONS, callbacks);
        everyone.broadcast("hello");
        let sent = |attendance: &SessionGuard| attendance.session().stats().messages_sent;
        assert!(attendances.iter().all(|attendance| sent(attendance) == 1 + SESSIONS as u64));
    });
}

#[test]
fn what_a_callback_causes_runs_after_it() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let note = |text: &'static str| {
        let order = order.clone();
        move || order.lock().unwrap().push(text)
    };
    let (begin, end, lags) = (note("on_connect begins"), note("on_connect ends"), note("on_lagging"));
    let callbacks = Callbacks::new()
        .on_connect(move |session: &Session| {
            alone(|| {
                begin();
                session.send("a message").unwrap();
                end();
            });
        })
        .on_lagging(move |_, _| alone(&lags));
    let _attendances = attend(1, callbacks);
    assert_eq!(*order.lock().unwrap(), ["on_connect begins", "on_connect ends", "on_lagging"]);
}

#[test]
fn a_close_and_a_broadcast_from_on_disconnect_nest_no_callbacks() {
    on_small_stack(|| {
        const SESSIONS: usize = 1_000;
        let everyone = Sessions::new();
        let (all, ends) = (everyone.clone(), Arc::new(AtomicUsize::new(0)));
        let counted = ends.clone();
        let callbacks = Callbacks::new()
            .sessions(&everyone)
            .on_disconnect(move |_, _| {
                alone(|| {
                    counted.fetch_add(1, SeqCst);
                    all.close_all(CloseCode::GOING_AWAY, "").unwrap();
                    all.broadcast("a session has ended");
                });
            })
            .on_lagging(|session, _| alone(|| session.close(CloseCode::TRY_AGAIN_LATER, "").unwrap()));
        drop(attend(SESSIONS, callbacks));
        assert_eq!(ends.load(SeqCst), SESSIONS);
    });
}

#[test]
fn a_predicate_that_panics_loses_no_callback() {
    let everyone = Sessions::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let callbacks = Callbacks::new().sessions(&everyone).on_lagging(move |_, _| {
        counted.fetch_add(1, SeqCst);
    });
    let attendances = attend(3, callbacks);
    let last = attendances[2].session().id();
    let broadcast = || {
        everyone.broadcast_where("hello", |session| {
            assert!(session.id() != last, "on purpose");
            true
        })
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(broadcast)).unwrap_err();
    assert_eq!(calls.load(SeqCst), 2);
    attendances[2].session().send("hello").unwrap();
    assert_eq!(calls.load(SeqCst), 3);
}
