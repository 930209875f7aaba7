//! Slow peers and the policies for a full backlog.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
    mpsc,
};

use ws_std::{Backlog, Callbacks, CloseCode, Overflow, Session, Sessions};
use ws_tests::{
    PATIENCE, Raw,
    either::{Adapter, Client, Route, Running, Server},
    eventually, kernel,
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    one_of_101_that_never_reads_delays_no_other_and_ends_with_1013
    one_of_101_that_never_reads_gets_the_latest_if_the_oldest_are_dropped
    one_of_101_that_never_reads_gets_the_oldest_if_the_newest_are_dropped
    one_of_101_that_never_reads_gets_the_last_if_only_that_is_kept
    a_session_that_lags_again_is_reported_again
    try_send_drops_nothing_and_says_so
    a_session_may_have_a_backlog_of_its_own
    what_waits_for_a_peer_that_never_reads_is_bounded_and_shown
    a_broadcast_from_on_lagging_to_200_lagging_sessions_needs_little_stack
}

const SIZE: usize = 32 << 10;
const BACKLOG: Backlog = Backlog { messages: 16, bytes: 1 << 20, overflow: Overflow::Disconnect };

/// Returns the message with this number.
fn numbered(number: usize) -> Vec<u8> {
    let mut message = vec![0; SIZE];
    message[..8].copy_from_slice(&number.to_be_bytes());
    message
}

fn number(message: &[u8]) -> usize {
    assert_eq!(message.len(), SIZE);
    usize::from_be_bytes(message[..8].try_into().unwrap())
}

/// A server with sessions that are in one set and send nothing, and the number of calls of `on_lagging`.
struct Room {
    server: Running,
    everyone: Sessions,
    lagging: Arc<AtomicUsize>,
}

impl Room {
    fn new(adapter: Adapter, backlog: Backlog) -> Self {
        let (everyone, lagging) = (Sessions::new(), Arc::new(AtomicUsize::new(0)));
        let counted = lagging.clone();
        let callbacks =
            Callbacks::new().sessions(&everyone).backlog(backlog).on_lagging(move |_, dropped| {
                assert!(dropped > 0);
                counted.fetch_add(1, SeqCst);
            });
        let server = Server::new(adapter).mount("/", Route::callbacks(adapter, callbacks)).start();
        Self { server, everyone, lagging }
    }

    /// Connects a peer that reads only on command, and returns it with its session.
    fn join(&self) -> (Raw, Session) {
        // A session that has ended may leave the set meanwhile.
        let newest = || self.everyone.all().last().cloned();
        let before = newest();
        let raw = Raw::open(self.server.address(), "/");
        eventually("it is in the set", || newest().map(|it| it.id()) > before.as_ref().map(Session::id));
        (raw, newest().unwrap())
    }

    /// Sends to 100 reading clients and one that does not read, until `enough` returns `true`. Returns the number of
    /// messages.
    fn broadcast(&self, adapter: Adapter, enough: impl Fn(usize) -> bool) -> usize {
        let before = self.everyone.len();
        let (see, seen) = mpsc::channel();
        let clients = (0..100).map(|_| {
            let (see, next) = (see.clone(), AtomicUsize::new(0));
            let callbacks = Callbacks::new().on_message(move |_, message| {
                // The numbers are in order and without a gap.
                if number(message.as_bytes()) == next.fetch_add(1, SeqCst) {
                    let _ = see.send(());
                }
            });
            let url = format!("ws://{}/", self.server.address());
            Client::new(adapter, &url).start(callbacks).unwrap()
        });
        let clients = clients.collect::<Vec<_>>();
        eventually("all are there", || self.everyone.len() == before + 100);
        let mut sent = 0;
        while !enough(sent) {
            self.everyone.broadcast(numbered(sent));
            sent += 1;
            for _ in &clients {
                seen.recv_timeout(PATIENCE).expect("a message for everybody who reads");
            }
        }
        for client in clients {
            assert!(client.stop(PATIENCE));
        }
        sent
    }
}

/// Reads the numbers of the messages up to a non-number or the last expected number.
fn numbers(raw: &mut Raw, last: usize) -> (Vec<usize>, Option<Frame>) {
    let mut numbers = Vec::new();
    loop {
        let frame = raw.frame();
        if frame.opcode != Frame::BINARY {
            return (numbers, Some(frame));
        }
        numbers.push(number(&frame.payload));
        if numbers.last() == Some(&last) {
            return (numbers, None);
        }
    }
}

/// Returns the number of messages before the first gap.
fn without_gap(numbers: &[usize]) -> usize {
    numbers.iter().enumerate().take_while(|&(at, &number)| at == number).count()
}

fn one_of_101_that_never_reads_delays_no_other_and_ends_with_1013(adapter: Adapter) {
    let room = Room::new(adapter, BACKLOG);
    let (mut raw, session) = room.join();
    let sent = room.broadcast(adapter, |_| !session.is_open());
    assert_eq!(session.close_info().unwrap().code, CloseCode::ABNORMAL_CLOSURE, "no Close of the peer yet");
    let stats = session.stats();
    assert_eq!((stats.lagged, room.lagging.load(SeqCst)), (1, 1));
    // The queued messages, and the one for which there was no room.
    assert_eq!(stats.dropped, 17);
    let (numbers, close) = numbers(&mut raw, usize::MAX);
    assert_eq!(close.unwrap().code_and_reason(), (1013, "reads too slowly"));
    assert_eq!(without_gap(&numbers), numbers.len(), "{numbers:?}");
    assert_eq!(numbers.len() + stats.dropped as usize, sent);
    raw.send(Frame::close(1013, ""));
    assert_eq!(raw.next_frame(), None);
    eventually("it is gone", || room.everyone.is_empty());
    assert_eq!(session.close_info().unwrap().code, CloseCode::TRY_AGAIN_LATER);
    assert!(matches!(session.send("too late"), Err(ws_std::Error::Closed(_))));
}

/// Runs until many messages were dropped. Returns the messages that the peer then reads, and the numbers of sent and
/// dropped messages.
fn lag(adapter: Adapter, overflow: Overflow) -> (Vec<usize>, usize, usize) {
    let room = Room::new(adapter, Backlog { overflow, ..BACKLOG });
    let (mut raw, session) = room.join();
    let sent = room.broadcast(adapter, |_| session.stats().dropped >= 50);
    let stats = session.stats();
    assert!(session.is_open());
    assert_eq!((stats.lagged, room.lagging.load(SeqCst)), (1, 1));
    assert_eq!(stats.messages_sent, sent as u64, "those that were dropped later included");
    // A last message, which arrives with every policy once there is room.
    let session_too = session.clone();
    let reading = std::thread::spawn(move || numbers(&mut raw, usize::MAX).0);
    eventually("it has kept up", || session_too.stats().buffered == 0);
    session.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    let numbers = reading.join().unwrap();
    let dropped = session.stats().dropped as usize;
    assert_eq!(numbers.len() + dropped, sent);
    assert!(numbers.is_sorted());
    (numbers, sent, dropped)
}

fn one_of_101_that_never_reads_gets_the_latest_if_the_oldest_are_dropped(adapter: Adapter) {
    let (numbers, sent, dropped) = lag(adapter, Overflow::DropOldest);
    let first = without_gap(&numbers);
    assert_eq!(numbers[first..], Vec::from_iter(sent - 16..sent), "{dropped} were dropped");
}

fn one_of_101_that_never_reads_gets_the_oldest_if_the_newest_are_dropped(adapter: Adapter) {
    let (numbers, sent, dropped) = lag(adapter, Overflow::DropNewest);
    assert_eq!(without_gap(&numbers), sent - dropped);
}

fn one_of_101_that_never_reads_gets_the_last_if_only_that_is_kept(adapter: Adapter) {
    let (numbers, sent, _) = lag(adapter, Overflow::KeepLatest);
    assert_eq!(without_gap(&numbers), numbers.len() - 1);
    assert_eq!(numbers.last(), Some(&(sent - 1)));
}

fn a_session_that_lags_again_is_reported_again(adapter: Adapter) {
    let room = Room::new(adapter, Backlog { overflow: Overflow::DropNewest, ..BACKLOG });
    let (mut raw, session) = room.join();
    let (mut sent, mut read) = (0, 0);
    for episode in 1..=3 {
        let before = session.stats().dropped;
        while session.stats().dropped < before + 50 {
            session.send(numbered(sent)).unwrap();
            sent += 1;
        }
        assert_eq!(session.stats().lagged, episode);
        assert_eq!(room.lagging.load(SeqCst), episode as usize);
        while read < sent - session.stats().dropped as usize {
            raw.frame();
            read += 1;
        }
        eventually("it has kept up", || session.stats().buffered == 0);
    }
}

fn try_send_drops_nothing_and_says_so(adapter: Adapter) {
    for overflow in [Overflow::Disconnect, Overflow::DropOldest, Overflow::DropNewest] {
        let room = Room::new(adapter, Backlog { overflow, ..BACKLOG });
        let (mut raw, session) = room.join();
        let mut sent = 0;
        let error = loop {
            match session.try_send(numbered(sent)) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, ws_std::Error::Send(ws_std::SendError::BufferFull)), "{error}");
        assert_eq!((session.stats().dropped, session.stats().lagged), (0, 0));
        assert_eq!(numbers(&mut raw, sent - 1).0, Vec::from_iter(0..sent));
        eventually("there is room", || session.try_send(numbered(sent)).is_ok());
        assert_eq!(number(&raw.frame().payload), sent);
    }
}

fn a_session_may_have_a_backlog_of_its_own(adapter: Adapter) {
    let room = Room::new(adapter, BACKLOG);
    let (_raw, session) = room.join();
    session.set_backlog(Backlog { messages: 3, overflow: Overflow::DropNewest, ..BACKLOG });
    while session.stats().dropped < 10 {
        session.send(numbered(0)).unwrap();
    }
    assert!(session.is_open());
}

fn what_waits_for_a_peer_that_never_reads_is_bounded_and_shown(adapter: Adapter) {
    let backlog = Backlog { messages: usize::MAX, bytes: 1 << 20, overflow: Overflow::DropOldest };
    let room = Room::new(adapter, backlog);
    let (raw, session) = room.join();
    while session.stats().dropped == 0 {
        session.send(numbered(0)).unwrap();
    }
    // The bytes that the operating system has accepted. It accepts no more.
    let before = kernel::peak_memory();
    for _ in 0..5_000 {
        session.send(numbered(0)).unwrap();
    }
    let grown = kernel::peak_memory() - before;
    assert!(grown < 16 << 20, "{grown} bytes more");
    let buffered = session.stats().buffered;
    // The write buffer (twice, because one is being written) and the backlog.
    assert!(buffered > backlog.bytes - SIZE && buffered <= backlog.bytes + 2 * (65536 + SIZE), "{buffered}");
    // A single message may exceed the limit of the backlog.
    drop(raw);
    eventually("it has ended", || !session.is_open());
    let (_raw, session) = room.join();
    session.send(vec![0; 16 << 20]).unwrap();
    let buffered = session.stats().buffered;
    assert!(buffered > 8 << 20, "{buffered} bytes of 16 MiB wait");
}

fn a_broadcast_from_on_lagging_to_200_lagging_sessions_needs_little_stack(adapter: Adapter) {
    const SESSIONS: usize = 200;
    let (everyone, calls) = (Sessions::new(), Arc::new(AtomicUsize::new(0)));
    let (all, counted) = (everyone.clone(), calls.clone());
    let backlog = Backlog { messages: 1, overflow: Overflow::DropNewest, ..BACKLOG };
    let callbacks = Callbacks::new().sessions(&everyone).backlog(backlog).on_lagging(move |_, _| {
        counted.fetch_add(1, SeqCst);
        assert_eq!(all.broadcast("a session lags"), SESSIONS);
    });
    let server = Server::new(adapter).mount("/", Route::callbacks(adapter, callbacks)).start();
    let _raws = [(); SESSIONS].map(|()| Raw::open(server.address(), "/"));
    eventually("all are there", || everyone.len() == SESSIONS);
    let broadcasting = std::thread::Builder::new().stack_size(256 << 10).spawn(move || {
        let message = ws_std::PreparedMessage::new(vec![0; 1 << 20]);
        while everyone.all().iter().any(|session| session.stats().lagged == 0) {
            everyone.broadcast_prepared(&message);
        }
    });
    broadcasting.unwrap().join().unwrap();
    assert_eq!(calls.load(SeqCst), SESSIONS);
}
