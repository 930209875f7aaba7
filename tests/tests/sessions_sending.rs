//! Sending with sessions: the time of sending, and no lost messages.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use ws_std::{
    Backlog, Callbacks, CloseCode, CloseInfo, Keepalive, Overflow, Session, Sessions,
    ws_core::{Cause, TimeoutKind},
};
use ws_tests::{
    PATIENCE, Raw, Transport,
    either::{Adapter, Pairing, Route, Running},
    eventually, kernel, let_pass,
    tls::RawTls,
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    send_leaves_at_once_while_the_callback_does_something_else
    fed_answers_to_what_came_at_once_leave_by_one_write
    a_fed_answer_leaves_before_what_is_sent_after_it
    a_peer_that_reads_only_after_all_its_requests_gets_all_replies
    a_peer_that_reads_only_after_all_its_requests_gets_all_replies_by_tls
    a_peer_that_reads_its_answers_slowly_counts_as_alive
    a_peer_that_never_reads_its_answers_is_given_up
    several_answers_to_each_message_wait_for_a_slow_reader
    answers_outlive_broadcasts_that_are_dropped
    a_peer_that_vanishes_while_its_answers_wait_ends_at_once
    a_flood_does_not_keep_broadcasts_from_those_who_flood
}

fn echo() -> Callbacks {
    Callbacks::new().on_message(|session, message| session.feed(message).expect("room for an answer"))
}

/// Returns the only session of the set.
fn only(sessions: &Sessions) -> Session {
    eventually("it is there", || sessions.len() == 1);
    sessions.all()[0].clone()
}

fn send_leaves_at_once_while_the_callback_does_something_else(adapter: Adapter) {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let callbacks = Callbacks::new().on_message(move |session, message| {
        session.send(message).unwrap();
        released.lock().unwrap().recv_timeout(PATIENCE).expect("the test has the answer");
    });
    let server = Pairing::of(adapter, Transport::Plain).call_back(callbacks);
    let mut raw = Raw::open(server.address(), "/");
    for number in 0..10 {
        raw.send(Frame::text(&number.to_string()));
        assert_eq!(raw.frame(), Frame::text(&number.to_string()));
        release.send(()).unwrap();
    }
}

fn fed_answers_to_what_came_at_once_leave_by_one_write(adapter: Adapter) {
    let server = Pairing::of(adapter, Transport::Plain).call_back(echo());
    Raw::open(server.address(), "/").expect_echoes_at_once();
}

fn a_fed_answer_leaves_before_what_is_sent_after_it(adapter: Adapter) {
    let callbacks = Callbacks::new().on_message(|session, _| {
        session.feed("one").unwrap();
        session.feed("two").unwrap();
        session.send("three").unwrap();
    });
    let server = Pairing::of(adapter, Transport::Plain).call_back(callbacks);
    let mut raw = Raw::open(server.address(), "/");
    raw.send(Frame::text("go"));
    for expected in ["one", "two", "three"] {
        assert_eq!(raw.frame(), Frame::text(expected));
    }
}

/// Size of a message above the kernel's buffers in both directions and our own.
const MUCH: usize = 48 << 20;
const QUESTION: usize = 16 << 10;

fn question(number: usize) -> Frame {
    let mut payload = vec![0; QUESTION];
    payload[..8].copy_from_slice(&number.to_be_bytes());
    Frame::new(Frame::BINARY, payload)
}

fn a_peer_that_reads_only_after_all_its_requests_gets_all_replies(adapter: Adapter) {
    let everyone = Sessions::new();
    let server = Pairing::of(adapter, Transport::Plain).call_back(echo().sessions(&everyone));
    let mut raw = Raw::open(server.address(), "/");
    let session = only(&everyone);
    let before = kernel::peak_memory();
    let asking = raw.socket().try_clone().unwrap();
    let asking = thread::spawn(move || {
        use std::io::Write as _;
        for number in 0..MUCH / QUESTION {
            (&asking).write_all(&question(number).masked().encode()).unwrap();
        }
    });
    stuck(&session);
    let buffered = session.stats().buffered;
    assert!(buffered > 0 && buffered < 4 * 65536 + 2 * QUESTION, "{buffered}");
    for number in 0..MUCH / QUESTION {
        assert_eq!(raw.frame(), question(number));
    }
    asking.join().unwrap();
    let grown = kernel::peak_memory() - before;
    assert!(grown < 8 << 20, "{grown} bytes more");
    let stats = session.stats();
    assert_eq!((stats.dropped, stats.lagged), (0, 0));
    assert_eq!((stats.bytes_received, stats.bytes_sent), (MUCH as u64, MUCH as u64));
}

/// Waits until the server receives no more messages.
fn stuck(session: &Session) {
    let mut last = (0, Instant::now());
    eventually("it receives nothing more", || {
        let received = session.stats().messages_received;
        if received != last.0 || received == 0 {
            last = (received, Instant::now());
        }
        last.1.elapsed() > Duration::from_millis(300)
    });
}

fn a_peer_that_reads_only_after_all_its_requests_gets_all_replies_by_tls(adapter: Adapter) {
    let everyone = Sessions::new();
    let server = Pairing::of(adapter, Transport::Tls).call_back(echo().sessions(&everyone));
    let mut raw = RawTls::open(server.address());
    let session = only(&everyone);
    let questions = 20_000;
    // Few writes that the kernel accepts completely, so that one thread can send all requests before it reads.
    let small = Frame::text("a small question").masked().encode();
    for _ in 0..questions / 1000 {
        raw.write(small.repeat(1000));
    }
    for _ in 0..questions {
        assert_eq!(raw.frame().unwrap(), Frame::text("a small question"));
    }
    assert_eq!(session.stats().dropped, 0);
    // The same with large messages, until the server cannot write any more.
    let large = question(7);
    let asked = 400;
    for _ in 0..asked {
        raw.write(large.clone().masked().encode());
        if session.stats().buffered > 60_000 {
            break;
        }
    }
    let received = session.stats().messages_received;
    assert!(received > questions);
    let mut answered = 0;
    while answered < session.stats().messages_received - questions {
        assert_eq!(raw.frame().unwrap(), large);
        answered += 1;
    }
    assert!(session.is_open());
}

/// Starts a server that pings each second and waits another second for the pong, and a peer that sends far too many
/// requests.
fn impatient(adapter: Adapter) -> (Running, Raw, thread::JoinHandle<()>, mpsc::Receiver<CloseInfo>) {
    let (end, ended) = mpsc::channel();
    let end = Mutex::new(end);
    let callbacks =
        echo().on_disconnect(move |_, close_info| end.lock().unwrap().send(close_info.clone()).unwrap());
    let second = Duration::from_secs(1);
    let route = Route::callbacks(adapter, callbacks).configure(move |config| {
        config.keepalive = Some(Keepalive { interval: second, timeout: second, max_missed: Some(1) });
        config.write_timeout = Some(2 * second);
    });
    let server = Pairing::of(adapter, Transport::Plain).serve(route).start();
    let raw = Raw::open(server.address(), "/");
    let asking = raw.socket().try_clone().unwrap();
    let asking = thread::spawn(move || {
        use std::io::Write as _;
        for number in 0..MUCH / QUESTION {
            if (&asking).write_all(&question(number).masked().encode()).is_err() {
                break;
            }
        }
    });
    (server, raw, asking, ended)
}

fn a_peer_that_reads_its_answers_slowly_counts_as_alive(adapter: Adapter) {
    let (_server, mut raw, asking, ended) = impatient(adapter);
    let mut number = 0;
    while number < MUCH / QUESTION {
        // In total longer than the permitted silence.
        let_pass(Duration::from_millis(1));
        let frame = raw.frame();
        if frame.opcode != Frame::PING {
            assert_eq!(frame, question(number));
            number += 1;
        }
    }
    assert!(ended.try_recv().is_err());
    asking.join().unwrap();
}

fn a_peer_that_never_reads_its_answers_is_given_up(adapter: Adapter) {
    let (_server, _raw, asking, ended) = impatient(adapter);
    let close_info = ended.recv_timeout(PATIENCE).expect("an end");
    // While the server does not read, silence proves nothing, so the write timeout decides.
    assert_eq!(close_info.cause, Cause::Timeout(TimeoutKind::Write));
    asking.join().unwrap();
}

fn several_answers_to_each_message_wait_for_a_slow_reader(adapter: Adapter) {
    let everyone = Sessions::new();
    let callbacks = Callbacks::new().sessions(&everyone).on_message(|session, message| {
        let times: usize = message.as_text().unwrap().parse().unwrap();
        for number in 0..times {
            session.feed(question(number).payload).unwrap();
        }
    });
    let server = Pairing::of(adapter, Transport::Plain).call_back(callbacks);
    let mut raw = Raw::open(server.address(), "/");
    // Each request has a reply of 16 MiB. Replies of a callback are bounded only by their own number.
    for _ in 0..2 {
        raw.send(Frame::text("1024"));
    }
    for _ in 0..2 {
        for number in 0..1024 {
            assert_eq!(raw.frame(), question(number));
        }
    }
    raw.send(Frame::close(1000, ""));
    assert_eq!(raw.frame().code_and_reason(), (1000, ""));
}

fn answers_outlive_broadcasts_that_are_dropped(adapter: Adapter) {
    for overflow in [Overflow::DropOldest, Overflow::DropNewest, Overflow::KeepLatest] {
        let everyone = Sessions::new();
        let backlog = Backlog { messages: 2, overflow, ..Backlog::default() };
        let server =
            Pairing::of(adapter, Transport::Plain).call_back(echo().sessions(&everyone).backlog(backlog));
        let mut raw = Raw::open(server.address(), "/");
        let session = only(&everyone);
        let asking = raw.socket().try_clone().unwrap();
        let asked = 500;
        let asking = thread::spawn(move || {
            use std::io::Write as _;
            for number in 0..asked {
                (&asking).write_all(&question(number).masked().encode()).unwrap();
            }
        });
        let mut broadcasts = 0;
        while session.stats().dropped < 100 {
            everyone.broadcast(vec![1; QUESTION + 1]);
            broadcasts += 1;
        }
        let (mut answers, mut others) = (0, 0);
        while answers < asked {
            let frame = raw.frame();
            if frame.payload.len() == QUESTION {
                assert_eq!(frame, question(answers), "{overflow:?}");
                answers += 1;
            } else {
                others += 1;
            }
        }
        asking.join().unwrap();
        session.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        while raw.frame().opcode == Frame::BINARY {
            others += 1;
        }
        assert_eq!(others + session.stats().dropped, broadcasts, "{overflow:?}");
    }
}

fn a_peer_that_vanishes_while_its_answers_wait_ends_at_once(adapter: Adapter) {
    let (end, ended) = mpsc::channel();
    let end = Mutex::new(end);
    let everyone = Sessions::new();
    let callbacks = Callbacks::new().sessions(&everyone).on_message(|session, _| {
        // Far more than the write buffer holds.
        (0..512).for_each(|number| session.feed(question(number).payload).unwrap());
    });
    let callbacks =
        callbacks.on_disconnect(move |_, close_info| end.lock().unwrap().send(close_info.was_clean).unwrap());
    let server = Pairing::of(adapter, Transport::Plain).call_back(callbacks);
    let raw = Raw::open(server.address(), "/");
    let session = only(&everyone);
    raw.send(Frame::text("go"));
    eventually("answers wait", || session.stats().messages_sent == 512 && session.stats().buffered > 1 << 20);
    let began = Instant::now();
    raw.reset();
    assert!(!ended.recv_timeout(PATIENCE).expect("an end"));
    assert!(began.elapsed() < ws_tests::SLACK, "{:?}", began.elapsed());
}

fn a_flood_does_not_keep_broadcasts_from_those_who_flood(adapter: Adapter) {
    let everyone = Sessions::new();
    let (see, seen) = mpsc::channel();
    let see = Mutex::new(see);
    let callbacks = Callbacks::new().sessions(&everyone);
    let callbacks = callbacks.on_message(move |_, message| see.lock().unwrap().send(message.len()).unwrap());
    let server = Pairing::of(adapter, Transport::Plain).call_back(callbacks);
    let mut raw = Raw::open(server.address(), "/");
    let session = only(&everyone);
    // Send until the network accepts no more.
    let mut sent = 0;
    while session.try_send(question(sent).payload).is_ok() {
        sent += 1;
    }
    let flooding = raw.socket().try_clone().unwrap();
    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            use std::io::Write as _;
            let flood = Frame::new(Frame::BINARY, vec![0; 60_000]).masked().encode().repeat(16);
            while !enough.load(SeqCst) {
                (&flooding).write_all(&flood).unwrap();
            }
        });
        seen.recv_timeout(PATIENCE).expect("it floods");
        for number in 0..sent {
            assert_eq!(raw.frame(), question(number));
        }
        enough.store(true, SeqCst);
    });
}
