//! Closing of sessions: one session, a set, and all sessions of a server.

use std::{
    cell::Cell,
    sync::{Mutex, mpsc},
    thread,
};

use ws_std::{Backlog, Callbacks, CloseCode, Error, SendError, Session, Sessions};
use ws_tests::{
    PATIENCE, Raw, Transport,
    either::{Adapter, Client, ClientHandle, Pairing},
    eventually,
    tls::RawTls,
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    what_was_sent_before_close_arrives_before_the_close
    what_was_sent_before_close_arrives_before_the_close_by_tls
    close_all_closes_all
    a_server_that_stops_says_1001_to_every_session_and_tells_each_callback
    callbacks_that_broadcast_and_end_200_sessions_never_nest
}

thread_local! {
    /// `true` while a callback runs in this thread.
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Returns the only session of the set.
fn only(sessions: &Sessions) -> Session {
    eventually("it is there", || sessions.len() == 1);
    sessions.all()[0].clone()
}

/// Size of a message far above the write buffer and the capacity of the kernel.
const COUNT: usize = 768;

fn numbered(number: usize) -> Frame {
    let mut payload = vec![0; 16 << 10];
    payload[..8].copy_from_slice(&number.to_be_bytes());
    Frame::new(Frame::BINARY, payload)
}

fn what_was_sent_before_close_arrives_before_the_close(adapter: Adapter) {
    let backlog = Backlog { messages: usize::MAX, bytes: usize::MAX, ..Backlog::default() };
    let everyone = Sessions::new();
    let server = Pairing::of(adapter, Transport::Plain)
        .call_back(Callbacks::new().sessions(&everyone).backlog(backlog));
    let mut raw = Raw::open(server.address(), "/");
    let session = only(&everyone);
    (0..COUNT).for_each(|number| session.send(numbered(number).payload).unwrap());
    session.close(CloseCode::new(4000), "that was all").unwrap();
    assert!(matches!(session.send("too late"), Err(Error::Closed(_))));
    session.close(CloseCode::new(4001), "twice is no error").unwrap();
    for number in 0..COUNT {
        assert_eq!(raw.frame(), numbered(number));
    }
    assert_eq!(raw.frame().code_and_reason(), (4000, "that was all"));
    raw.send(Frame::close(4000, ""));
    assert_eq!(raw.next_frame(), None);
    eventually("it has ended", || everyone.is_empty());
    assert!(session.close_info().unwrap().was_clean);
}

fn what_was_sent_before_close_arrives_before_the_close_by_tls(adapter: Adapter) {
    let backlog = Backlog { messages: usize::MAX, bytes: usize::MAX, ..Backlog::default() };
    let everyone = Sessions::new();
    let server =
        Pairing::of(adapter, Transport::Tls).call_back(Callbacks::new().sessions(&everyone).backlog(backlog));
    let mut raw = RawTls::open(server.address());
    let session = only(&everyone);
    (0..COUNT).for_each(|number| session.send(numbered(number).payload).unwrap());
    session.close(CloseCode::new(4000), "that was all").unwrap();
    for number in 0..COUNT {
        assert_eq!(raw.frame().unwrap(), numbered(number));
    }
    assert_eq!(raw.frame().unwrap().code_and_reason(), (4000, "that was all"));
}

/// Returns the sessions of a set, and a channel for the close code of each.
fn counted(everyone: &Sessions) -> (Callbacks, mpsc::Receiver<CloseCode>) {
    let (end, ends) = mpsc::channel();
    let end = Mutex::new(end);
    let callbacks = Callbacks::new()
        .sessions(everyone)
        .on_disconnect(move |_, close_info| end.lock().unwrap().send(close_info.code).unwrap());
    (callbacks, ends)
}

fn close_all_closes_all(adapter: Adapter) {
    let everyone = Sessions::new();
    let (callbacks, ends) = counted(&everyone);
    let server = Pairing::of(adapter, Transport::Plain).call_back(callbacks);
    let raws = (0..20).map(|_| Raw::open(server.address(), "/")).collect::<Vec<_>>();
    eventually("all are there", || everyone.len() == 20);
    let refused = everyone.close_all(CloseCode::new(1005), "cannot be sent, and closes none");
    assert!(matches!(refused, Err(Error::Send(SendError::InvalidCloseCode(_)))), "{refused:?}");
    let error = "é".repeat(100);
    let refused = everyone.close_all(CloseCode::INTERNAL_ERROR, &error);
    assert!(matches!(refused, Err(Error::Send(SendError::CloseReasonTooLong(200)))), "{refused:?}");
    assert!(everyone.all().iter().all(Session::is_open));
    everyone.close_all(CloseCode::SERVICE_RESTART, "back soon").unwrap();
    for mut raw in raws {
        assert_eq!(raw.frame().code_and_reason(), (1012, "back soon"));
        raw.send(Frame::close(1012, ""));
        assert_eq!(raw.next_frame(), None);
        assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), CloseCode::SERVICE_RESTART);
    }
    eventually("nobody is there", || everyone.is_empty());
}

fn a_server_that_stops_says_1001_to_every_session_and_tells_each_callback(adapter: Adapter) {
    let everyone = Sessions::new();
    let (callbacks, ends) = counted(&everyone);
    let server = Pairing::of(adapter, Transport::Plain).call_back(callbacks);
    let raws = (0..20).map(|_| Raw::open(server.address(), "/")).collect::<Vec<_>>();
    eventually("all are there", || everyone.len() == 20);
    let handle = server.handle().clone();
    let stopping = thread::spawn(move || handle.stop(PATIENCE));
    for mut raw in raws {
        assert_eq!(raw.frame().code_and_reason(), (1001, "the server stops"));
        raw.send(Frame::close(1001, ""));
        assert_eq!(raw.next_frame(), None);
    }
    assert!(stopping.join().unwrap(), "nothing had to be broken off");
    assert_eq!(ends.try_iter().collect::<Vec<_>>(), [CloseCode::GOING_AWAY; 20]);
    assert!(everyone.is_empty());
}

fn callbacks_that_broadcast_and_end_200_sessions_never_nest(adapter: Adapter) {
    const SESSIONS: usize = 200;
    let everyone = Sessions::new();
    let (end, ends) = mpsc::channel();
    let (all, end) = (everyone.clone(), Mutex::new(end));
    // The first session that ends makes the next one end, which makes the next one end, and so on.
    let callbacks = Callbacks::new().sessions(&everyone).on_disconnect(move |session, _| {
        let nested = IN_CALLBACK.replace(true);
        all.broadcast("a session has ended");
        if let Some(next) = all.all().iter().find(|other| other.id() != session.id()) {
            let _ = next.close(CloseCode::GOING_AWAY, "the next one");
        }
        IN_CALLBACK.set(false);
        end.lock().unwrap().send(nested).unwrap();
    });
    let server = Pairing::of(adapter, Transport::Plain).call_back(callbacks);
    let url = format!("ws://{}/", server.address());
    let clients = [(); SESSIONS].map(|()| Client::new(adapter, &url).start(Callbacks::new()).unwrap());
    eventually("all are there", || everyone.len() == SESSIONS);
    clients[0].begin_stop();
    for number in 0..SESSIONS {
        let nested = ends.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("end {number}: {error}"));
        assert!(!nested, "a callback was called within another");
    }
    clients.iter().for_each(ClientHandle::wait);
    assert!(everyone.is_empty());
}
