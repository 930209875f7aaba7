//! `send` and `flush` succeed only after the operating system has accepted all bytes, and no sender waits forever.

use std::{
    io::Write as _,
    sync::{Arc, Barrier},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ws_std::{Callbacks, Chunk, Error, HandlerResult, Message, SendError, Sessions};
use ws_tests::{
    Raw, Transport,
    either::{Adapter, Handed, Pairing, Receiver, Route, Running, Sender},
    eventually,
    link::Link,
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    send_fails_if_the_peer_resets_in_the_middle_of_the_message
    a_second_sender_fails_if_the_peer_resets_before_its_message
    flush_fails_if_the_peer_resets_before_the_last_byte
    stop_ends_senders_whose_peer_does_not_read
    stop_ends_senders_whose_peer_does_not_read_by_tls
    stop_ends_handlers_whose_peer_does_not_read
    stop_ends_handlers_whose_peer_does_not_read_by_tls
    stop_ends_sessions_whose_peer_does_not_read
    stop_ends_sessions_whose_peer_does_not_read_by_tls
    a_message_that_is_aborted_closes_with_1011
    a_message_that_is_aborted_blocks_no_other_sender
}

/// Size of a message far above the kernel's buffers.
const MUCH: usize = 64 << 20;

fn hand_over(adapter: Adapter) -> (Running, Handed, Raw) {
    let (route, take) = Route::hand_over(adapter);
    let server = Pairing::of(adapter, Transport::Plain).serve(route).start();
    let raw = Raw::open(server.address(), "/");
    (server, take(), raw)
}

/// Reads the start of a large message and resets the connection.
fn reset_in_the_middle(mut raw: Raw) {
    raw.read_exact(1 << 20);
    raw.reset();
}

/// Receives in another thread, which may notice the reset first.
fn receive(mut receiver: Receiver) -> JoinHandle<()> {
    thread::spawn(move || while matches!(receiver.receive(), Ok(Some(_))) {})
}

fn send_fails_if_the_peer_resets_in_the_middle_of_the_message(adapter: Adapter) {
    for receives in [false, true, false, true] {
        let (_server, handed, raw) = hand_over(adapter);
        let resetting = thread::spawn(|| reset_in_the_middle(raw));
        if receives {
            let (sender, receiver) = handed.ws.split();
            let receiving = receive(receiver);
            sender.send(vec![7; MUCH]).unwrap_err();
            receiving.join().unwrap();
        } else {
            handed.ws.send(vec![7; MUCH]).unwrap_err();
        }
        resetting.join().unwrap();
    }
}

fn a_second_sender_fails_if_the_peer_resets_before_its_message(adapter: Adapter) {
    for receives in [false, true, false, true] {
        let (_server, handed, raw) = hand_over(adapter);
        let (sender, receiver) = handed.ws.split();
        // Both messages wait behind bytes that the kernel does not accept yet.
        sender.feed(vec![7; MUCH]).unwrap();
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let sender = sender.clone();
                thread::spawn(move || sender.send("second"))
            })
            .collect();
        let receiving = receives.then(|| receive(receiver));
        reset_in_the_middle(raw);
        for sender in senders {
            sender.join().unwrap().unwrap_err();
        }
        sender.send("third").unwrap_err();
        receiving.into_iter().for_each(|receiving| receiving.join().unwrap());
    }
}

fn flush_fails_if_the_peer_resets_before_the_last_byte(adapter: Adapter) {
    for waits in [true, false] {
        let (_server, handed, raw) = hand_over(adapter);
        handed.ws.feed(vec![7; MUCH]).unwrap();
        if waits {
            // By now the flush is usually waiting.
            let resetting = thread::spawn(|| reset_in_the_middle(raw));
            handed.ws.flush().unwrap_err();
            resetting.join().unwrap();
        } else {
            raw.reset();
            handed.ws.flush().unwrap_err();
        }
        // Later calls report the loss too.
        handed.ws.send("more").unwrap_err();
    }
}

/// Maximum time that a closing connection waits for a peer that does not read.
const SHORT: Duration = Duration::from_millis(500);

fn serve(adapter: Adapter, transport: Transport, route: Route) -> Running {
    let server = Pairing::of(adapter, transport).serve(route);
    server.configure(|config| config.close_timeout = SHORT).start()
}

/// Stops a server with waiting senders, and checks that no sender waits much longer than the closing handshake may
/// take.
fn expect_stopped(server: Running, senders: Vec<JoinHandle<()>>) {
    let began = Instant::now();
    assert!(server.handle().stop(Duration::from_secs(10)), "nothing had to be broken off");
    let stopped = began.elapsed();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    server.served().unwrap();
    let returned = began.elapsed();
    assert!(returned < 6 * SHORT, "stopped after {stopped:?}, all have returned after {returned:?}");
}

fn expect_senders_stopped(adapter: Adapter, transport: Transport) {
    let (route, take) = Route::hand_over(adapter);
    let server = serve(adapter, transport, route);
    let link = Link::open(server.address(), transport);
    let handed = take();
    let waiting = Arc::new(Barrier::new(4));
    let sender = handed.ws.sender();
    let begin = |waiting: &Arc<Barrier>, send: fn(Sender) -> Result<(), Error>| {
        let (sender, waiting) = (sender.clone(), waiting.clone());
        thread::spawn(move || {
            waiting.wait();
            send(sender).unwrap_err();
        })
    };
    let mut senders = vec![
        begin(&waiting, |sender| sender.send(vec![7; MUCH])),
        begin(&waiting, |sender| sender.feed(vec![7; MUCH]).and_then(|()| sender.flush())),
    ];
    senders.push({
        let waiting = waiting.clone();
        thread::spawn(move || {
            // The handler returns the error.
            let handed = handed;
            waiting.wait();
            handed.ws.send(vec![7; MUCH]).unwrap_err();
        })
    });
    waiting.wait();
    link.wait_until_full();
    expect_stopped(server, senders);
}

fn stop_ends_senders_whose_peer_does_not_read(adapter: Adapter) {
    expect_senders_stopped(adapter, Transport::Plain);
}

fn stop_ends_senders_whose_peer_does_not_read_by_tls(adapter: Adapter) {
    expect_senders_stopped(adapter, Transport::Tls);
}

fn send_much(adapter: Adapter) -> Route {
    match adapter {
        Adapter::Std => Route::Std(ws_std::Route::new(|_, ws| -> HandlerResult {
            ws.send(vec![7; MUCH])?;
            Ok(())
        })),
        Adapter::Smol => Route::Smol(ws_smol::Route::new(|_, ws| async move {
            ws.send(vec![7; MUCH]).await?;
            Ok(())
        })),
    }
}

fn expect_handlers_stopped(adapter: Adapter, transport: Transport) {
    let server = serve(adapter, transport, send_much(adapter));
    let links: Vec<_> = (0..3).map(|_| Link::open(server.address(), transport)).collect();
    links.iter().for_each(Link::wait_until_full);
    expect_stopped(server, Vec::new());
}

fn stop_ends_handlers_whose_peer_does_not_read(adapter: Adapter) {
    expect_handlers_stopped(adapter, Transport::Plain);
}

fn stop_ends_handlers_whose_peer_does_not_read_by_tls(adapter: Adapter) {
    expect_handlers_stopped(adapter, Transport::Tls);
}

fn expect_sessions_stopped(adapter: Adapter, transport: Transport) {
    let everyone = Sessions::new();
    let callbacks = Callbacks::new()
        .sessions(&everyone)
        .on_connect(|session| session.send(vec![7; MUCH]).unwrap())
        .on_message(|session, message| session.feed(message).unwrap());
    let server = serve(adapter, transport, Route::callbacks(adapter, callbacks));
    let links: Vec<_> = (0..3).map(|_| Link::open(server.address(), transport)).collect();
    links.iter().for_each(Link::wait_until_full);
    assert_eq!(everyone.len(), 3);
    expect_stopped(server, Vec::new());
    assert_eq!(everyone.len(), 0);
}

fn stop_ends_sessions_whose_peer_does_not_read(adapter: Adapter) {
    expect_sessions_stopped(adapter, Transport::Plain);
}

fn stop_ends_sessions_whose_peer_does_not_read_by_tls(adapter: Adapter) {
    expect_sessions_stopped(adapter, Transport::Tls);
}

fn chunk(text: &str, last: bool) -> Chunk<'_> {
    Chunk { payload: Message::from(text), last }
}

fn a_message_that_is_aborted_closes_with_1011(adapter: Adapter) {
    let (_server, mut handed, mut raw) = hand_over(adapter);
    let sender = handed.ws.sender();
    // There is no message to abort yet.
    sender.abort_message();
    sender.send_chunk(chunk("one", false)).unwrap();
    sender.abort_message();
    assert_eq!(raw.frame(), Frame::text("one").unfinished());
    assert_eq!(raw.frame().code_and_reason().0, 1011);
    raw.send(Frame::close(1011, ""));
    handed.ws.receive_to_end().unwrap();
    assert_eq!(raw.next_frame(), None);
}

fn a_message_that_is_aborted_blocks_no_other_sender(adapter: Adapter) {
    let (_server, handed, mut raw) = hand_over(adapter);
    let (sender, receiver) = handed.ws.split();
    sender.send_chunk(chunk("one", false)).unwrap();
    let error = sender.send("another").unwrap_err();
    assert!(matches!(error, Error::Send(SendError::MessageInProgress)), "{error}");
    let receiving = receive(receiver);
    sender.abort_message();
    let error = sender.send("another").unwrap_err();
    assert!(matches!(error, Error::Closed(_)), "{error}");
    let error = sender.send_chunk(chunk("two", true)).unwrap_err();
    assert!(matches!(error, Error::Closed(_)), "{error}");
    raw.frame();
    assert_eq!(raw.frame().code_and_reason().0, 1011);
    raw.socket().write_all(&Frame::close(1011, "").masked().encode()).unwrap();
    receiving.join().unwrap();
    eventually("the end of the stream", || raw.try_frame().is_ok_and(|frame| frame.is_none()));
}
