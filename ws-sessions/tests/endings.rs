//! The end of sessions, without sockets: the order of callbacks, counters that never decrease, and freed memory.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use ws_core::{Chunk, CloseCode, CloseInfo, Connection, Message, Timestamp};
use ws_sessions::{Callbacks, PeerInfo, Rooms, Session, SessionBackend, SessionGuard, Sessions};
use ws_transport::{Backlog, Driver, Error, MessageAssembler, Network, Outgoing, Overflow, SendOutcome};

/// A connection to a network that accepts no output.
#[derive(Debug)]
struct Refusing {
    driver: Mutex<Driver>,
    /// Blocks a post until the test releases it.
    gate: Mutex<Option<Gate>>,
    /// Blocks a look in the same way.
    look_gate: Mutex<Option<Gate>>,
}

/// Reports that a message was posted, and waits for the test.
type Gate = (mpsc::Sender<()>, mpsc::Receiver<()>);

/// Waits at a gate, if there is one.
fn pass(gate: &Mutex<Option<Gate>>) {
    let gate = gate.lock().unwrap().take();
    if let Some((arrived, go_on)) = gate {
        arrived.send(()).unwrap();
        go_on.recv().unwrap();
    }
}

impl Refusing {
    fn new() -> Arc<Self> {
        let driver = Driver::new(Connection::server(Arc::default(), Timestamp::ZERO), None);
        Arc::new(Self { driver: Mutex::new(driver), gate: Mutex::default(), look_gate: Mutex::default() })
    }
}

impl SessionBackend for Refusing {
    fn post(self: Arc<Self>, outgoing: Outgoing<'_>) -> Result<SendOutcome, Error> {
        let posted = self.driver.lock().unwrap().post(outgoing, Network::Refuses);
        pass(&self.gate);
        posted
    }

    fn ping(self: Arc<Self>, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn close(self: Arc<Self>, code: CloseCode, reason: &str) -> Result<(), Error> {
        Ok(self.driver.lock().unwrap().close(code, reason)?)
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
        pass(&self.look_gate);
        look(&self.driver.lock().unwrap());
    }
}

/// Drops each message at once.
const NONE: Backlog = Backlog { messages: 0, bytes: 0, overflow: Overflow::DropNewest };

fn attend(callbacks: Callbacks) -> (Arc<Refusing>, SessionGuard) {
    let backend = Refusing::new();
    let mut attendance =
        SessionGuard::new(Arc::new(callbacks.backlog(NONE)), backend.clone(), PeerInfo::default());
    attendance.connect(None);
    (backend, attendance)
}

/// The names of callbacks in the order in which they began and ended.
#[derive(Clone, Default)]
struct Order(Arc<Mutex<Vec<&'static str>>>);

impl Order {
    fn note(&self, callback: &'static str) {
        self.0.lock().unwrap().push(callback);
    }

    fn noted(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

#[test]
fn on_lagging_is_not_called_after_on_disconnect() {
    let order = Order::default();
    let (disconnects, lagging) = (order.clone(), order.clone());
    let callbacks = Callbacks::new()
        .on_disconnect(move |_, _| disconnects.note("on_disconnect"))
        .on_lagging(move |_, _| lagging.note("on_lagging"));
    let (backend, attendance) = attend(callbacks);
    let session = attendance.session().clone();
    let ((arrive, arrived), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
    *backend.gate.lock().unwrap() = Some((arrive, goes_on));
    let sending = thread::spawn(move || session.send("dropped"));
    arrived.recv().unwrap();
    // The message was dropped. The session ends before the sending thread calls `on_lagging`.
    drop(attendance);
    go_on.send(()).unwrap();
    let _ = sending.join().unwrap();
    assert_eq!(order.noted(), ["on_disconnect"]);
}

#[test]
fn on_disconnect_runs_after_the_call_of_on_lagging_that_has_begun() {
    let order = Order::default();
    let ((arrive, arrived), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
    let (disconnects, lagging, goes_on) = (order.clone(), order.clone(), Mutex::new(goes_on));
    let callbacks = Callbacks::new().on_disconnect(move |_, _| disconnects.note("on_disconnect")).on_lagging(
        move |_, _| {
            lagging.note("on_lagging begins");
            arrive.send(()).unwrap();
            goes_on.lock().unwrap().recv().unwrap();
            lagging.note("on_lagging ends");
        },
    );
    let (_backend, attendance) = attend(callbacks);
    let session = attendance.session().clone();
    let sending = thread::spawn(move || session.send("dropped"));
    arrived.recv().unwrap();
    // The end of the session does not wait for the other thread.
    drop(attendance);
    go_on.send(()).unwrap();
    let _ = sending.join().unwrap();
    assert_eq!(order.noted(), ["on_lagging begins", "on_lagging ends", "on_disconnect"]);
}

/// A total that another thread reads has no counter that is smaller than in the previous total.
#[test]
fn counters_never_run_backwards_while_sessions_join_send_and_leave() {
    let (everyone, over) = (Sessions::new(), Arc::new(AtomicBool::new(false)));
    let (all, is_over) = (everyone.clone(), over.clone());
    let observer = thread::spawn(move || {
        let (mut before, mut looks) = (all.stats(), 0_u32);
        while !is_over.load(SeqCst) || looks == 0 {
            let now = all.stats();
            for (name, before, now) in [
                ("opened", before.opened, now.opened),
                ("sent", before.sum.messages_sent, now.sum.messages_sent),
                ("bytes", before.sum.bytes_sent, now.sum.bytes_sent),
                ("dropped", before.sum.dropped, now.sum.dropped),
            ] {
                assert!(now >= before && now < 1 << 60, "{name} runs from {before} to {now}");
            }
            before = now;
            looks += 1;
        }
        before
    });
    let members: Vec<_> = (0..3)
        .map(|_| {
            let everyone = everyone.clone();
            thread::spawn(move || {
                for _ in 0..2_000 {
                    let (_backend, attendance) = attend(Callbacks::new().sessions(&everyone));
                    let session = attendance.session().clone();
                    session.send("inside").unwrap();
                    // A session that has left a set still counts its traffic, but not for that set.
                    everyone.remove(session.id()).unwrap();
                    session.send("outside").unwrap();
                    everyone.insert(&session);
                    session.send("inside").unwrap();
                    let sending = session.clone();
                    let sender = thread::spawn(move || while sending.send("until it ends").is_ok() {});
                    drop(attendance);
                    sender.join().unwrap();
                }
            })
        })
        .collect();
    let joined: Vec<_> = members.into_iter().map(thread::JoinHandle::join).collect();
    over.store(true, SeqCst);
    observer.join().unwrap();
    joined.into_iter().for_each(|member| member.unwrap());
    assert_eq!(everyone.stats().open, 0);
}

#[test]
fn a_message_that_is_sent_while_its_session_leaves_is_counted() {
    let everyone = Sessions::new();
    let (backend, attendance) = attend(Callbacks::new().sessions(&everyone));
    let session = attendance.session().clone();
    let ((arrive, arrived), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
    *backend.gate.lock().unwrap() = Some((arrive, goes_on));
    let sending = thread::spawn(move || session.send("four"));
    arrived.recv().unwrap();
    drop(attendance);
    let then = everyone.stats();
    go_on.send(()).unwrap();
    let _ = sending.join().unwrap();
    assert_eq!((then.sum.messages_sent, then.sum.bytes_sent, then.sum.dropped), (1, 4, 1));
    assert_eq!(everyone.stats(), then);
}

#[test]
fn a_session_that_leaves_while_it_is_summed_up_counts_no_further() {
    let everyone = Sessions::new();
    let (backend, _first) = attend(Callbacks::new().sessions(&everyone));
    let (_backend, second) = attend(Callbacks::new().sessions(&everyone));
    let session = second.session().clone();
    session.send("inside").unwrap();
    let ((arrive, arrived), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
    *backend.look_gate.lock().unwrap() = Some((arrive, goes_on));
    let all = everyone.clone();
    let observer = thread::spawn(move || all.stats().sum.messages_sent);
    arrived.recv().unwrap();
    everyone.remove(session.id()).unwrap();
    session.send("outside").unwrap();
    go_on.send(()).unwrap();
    assert_eq!(observer.join().unwrap(), 1);
    assert_eq!(everyone.stats().sum.messages_sent, 1);
}

/// A value that contains a handle to its own session.
struct Own {
    _session: Session,
    _alive: Arc<()>,
}

#[test]
fn a_value_that_holds_its_own_session_is_dropped_after_on_disconnect() {
    let alive = Arc::new(());
    let seen = Arc::new(AtomicBool::new(false));
    let sees = seen.clone();
    let callbacks =
        Callbacks::new().on_disconnect(move |session, _| sees.store(session.data::<Own>().is_some(), SeqCst));
    let (_backend, attendance) = attend(callbacks);
    let session = attendance.session().clone();
    session.set_data(Own { _session: session.clone(), _alive: alive.clone() });
    drop(attendance);
    assert!(seen.load(SeqCst), "on_disconnect still has the value");
    assert_eq!(Arc::strong_count(&alive), 1);
    assert!(session.data::<Own>().is_none());
    session.set_data(Own { _session: session.clone(), _alive: alive.clone() });
    assert_eq!(Arc::strong_count(&alive), 1, "a value that is attached later is dropped at once");
}

#[test]
fn a_session_that_ends_in_its_value_or_its_callback_is_freed() {
    let alive = Arc::new(());
    let own = Arc::new(OnceLock::<Own>::new());
    let held = own.clone();
    // The callback contains a handle to its own session.
    let callbacks = Callbacks::new().on_lagging(move |_, _| {
        let _ = &held;
    });
    let (_backend, attendance) = attend(callbacks);
    let session = attendance.session().clone();
    assert!(own.set(Own { _session: session.clone(), _alive: alive.clone() }).is_ok());
    drop((session, own, attendance));
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn a_room_that_all_have_left_takes_no_memory() {
    let rooms = Rooms::new();
    let (_backend, attendance) = attend(Callbacks::new());
    let session = attendance.session();
    let held = rooms.join("held", session);
    for number in 0..10_000 {
        rooms.join(&number.to_string(), session);
    }
    assert_eq!(rooms.all().len(), 10_001);
    for number in 0..10_000 {
        assert!(rooms.leave(&number.to_string(), session));
    }
    assert_eq!(rooms.all().len(), 1);
    // While a handle exists, it is the room with this name.
    assert!(rooms.leave("held", session) && rooms.all().is_empty());
    assert!(held.insert(session));
    assert_eq!((rooms.all().len(), rooms.get("held").unwrap().len()), (1, 1));
    drop(held);
    drop(attendance);
    assert!(rooms.all().is_empty() && rooms.get("held").is_none());
}

/// Threads that join, leave and list rooms at the same time never find an empty room, and never deadlock.
#[test]
fn lists_have_only_rooms_with_members_whatever_happens_meanwhile() {
    let rooms = Rooms::new();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let rooms = rooms.clone();
            thread::spawn(move || {
                let (_backend, attendance) = attend(Callbacks::new());
                for number in 0..3_000 {
                    let name = (number % 3).to_string();
                    rooms.join(&name, attendance.session());
                    assert!(rooms.all().iter().any(|(there, _)| *there == name));
                    assert!(rooms.leave(&name, attendance.session()));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(rooms.all().is_empty());
}
