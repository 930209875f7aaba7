//! A connection ends at once, independent of the thread or task that writes its last byte.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use ws_std::{Callbacks, CloseCode, Session, Sessions};
use ws_tests::{
    Transport,
    either::{Adapter, Pairing, Route, Running},
    eventually,
    link::{Link, listen_with_small_buffer},
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    receive_ends_at_once_when_a_sender_writes_the_reply_to_a_close
    receive_ends_at_once_when_a_sender_writes_the_reply_to_a_close_by_tls
    a_session_ends_at_once_when_another_thread_writes_its_last_byte
    a_session_ends_at_once_when_another_thread_writes_its_last_byte_by_tls
    closing_a_session_during_broadcasts_takes_no_time
    closing_a_session_during_broadcasts_takes_no_time_by_tls
}

/// Maximum time of an end. A missed wake-up takes the whole close timeout, which is ten times as long.
const AT_ONCE: Duration = Duration::from_millis(500);

fn pairing(adapter: Adapter, transport: Transport) -> Pairing {
    Pairing::of(adapter, transport)
}

/// Reads everything up to a Close, and then the end of the stream, which must follow at once.
fn expect_prompt_end(link: &mut Link) {
    loop {
        let frame = link.frame();
        match frame.opcode {
            Frame::CLOSE => break,
            Frame::PING => link.send(Frame::new(Frame::PONG, frame.payload)),
            _ => {}
        }
    }
    let began = Instant::now();
    assert_eq!(link.next_frame(), None);
    let took = began.elapsed();
    assert!(took < AT_ONCE, "the end of the stream came after {took:?}");
}

fn expect_prompt_receive(adapter: Adapter, transport: Transport) {
    let (route, take) = Route::hand_over(adapter);
    let server = pairing(adapter, transport).serve(route).bind_socket(listen_with_small_buffer()).unwrap();
    let mut link = Link::open_with_small_buffer(server.address(), transport);
    let handed = take();
    let sender = handed.ws.sender();
    let (_, mut receiver) = handed.ws.split();
    let receiving = thread::spawn(move || {
        assert_eq!(receiver.receive().unwrap(), None);
        Instant::now()
    });
    let sending = thread::spawn(move || sender.send(vec![7; 1 << 20]));
    link.wait_until_full();
    link.write(Frame::close(1000, "").masked().encode());
    // The receiving end has read the message and is waiting.
    link.wait_until_full();
    assert_eq!(link.frame().payload.len(), 1 << 20);
    assert_eq!(link.frame().code_and_reason().0, 1000);
    let answered = Instant::now();
    sending.join().unwrap().unwrap();
    let ended = receiving.join().unwrap();
    let took = ended.saturating_duration_since(answered);
    assert!(took < AT_ONCE, "`receive` returned after {took:?}");
}

fn receive_ends_at_once_when_a_sender_writes_the_reply_to_a_close(adapter: Adapter) {
    expect_prompt_receive(adapter, Transport::Plain);
}

fn receive_ends_at_once_when_a_sender_writes_the_reply_to_a_close_by_tls(adapter: Adapter) {
    expect_prompt_receive(adapter, Transport::Tls);
}

fn serve_sessions(adapter: Adapter, transport: Transport, everyone: &Sessions) -> Running {
    let callbacks = Callbacks::new().sessions(everyone);
    let server = pairing(adapter, transport).serve(Route::callbacks(adapter, callbacks));
    server.bind_socket(listen_with_small_buffer()).unwrap()
}

fn expect_prompt_end_of_session(adapter: Adapter, transport: Transport) {
    let everyone = Sessions::new();
    let server = serve_sessions(adapter, transport, &everyone);
    for asks in [true, false] {
        let mut link = Link::open_with_small_buffer(server.address(), transport);
        eventually("it is there", || everyone.len() == 1);
        let session = everyone.all()[0].clone();
        for _ in 0..20 {
            session.send(vec![7; 10_000]).unwrap();
        }
        link.wait_until_full();
        if asks {
            link.send(Frame::close(1000, ""));
            eventually("it is closing", || !session.is_open());
        } else {
            session.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
            link.send(Frame::close(1000, ""));
        }
        expect_prompt_end(&mut link);
        eventually("it has left", || everyone.is_empty());
    }
}

fn a_session_ends_at_once_when_another_thread_writes_its_last_byte(adapter: Adapter) {
    expect_prompt_end_of_session(adapter, Transport::Plain);
}

fn a_session_ends_at_once_when_another_thread_writes_its_last_byte_by_tls(adapter: Adapter) {
    expect_prompt_end_of_session(adapter, Transport::Tls);
}

/// Number of connections that are closed at the same time, and number of repetitions.
const AT_A_TIME: usize = 20;
const ROUNDS: usize = 25;

fn expect_prompt_closes(adapter: Adapter, transport: Transport) {
    let everyone = Sessions::new();
    let callbacks = Callbacks::new().sessions(&everyone);
    let server = pairing(adapter, transport).serve(Route::callbacks(adapter, callbacks)).start();
    let over = Arc::new(AtomicBool::new(false));
    let broadcasting = thread::spawn({
        let (everyone, over) = (everyone.clone(), over.clone());
        move || {
            while !over.load(SeqCst) {
                everyone.broadcast("news");
            }
        }
    });
    for _ in 0..ROUNDS {
        let open = Arc::new(Barrier::new(AT_A_TIME + 1));
        let clients: Vec<_> = (0..AT_A_TIME)
            .map(|_| {
                let (address, open) = (server.address(), open.clone());
                thread::spawn(move || {
                    let mut link = Link::open(address, transport);
                    open.wait();
                    answer_the_close(&mut link);
                })
            })
            .collect();
        open.wait();
        eventually("all are there", || everyone.len() == AT_A_TIME);
        let began = Instant::now();
        everyone.all().iter().for_each(close);
        clients.into_iter().for_each(|client| client.join().unwrap());
        let took = began.elapsed();
        assert!(took < AT_ONCE, "{AT_A_TIME} closes took {took:?}");
        eventually("all have left", || everyone.is_empty());
    }
    over.store(true, SeqCst);
    broadcasting.join().unwrap();
}

fn close(session: &Session) {
    session.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
}

/// Reads up to a Close, answers it, and reads the end of the stream.
fn answer_the_close(link: &mut Link) {
    while link.frame().opcode != Frame::CLOSE {}
    link.send(Frame::close(1000, ""));
    assert_eq!(link.next_frame(), None);
}

fn closing_a_session_during_broadcasts_takes_no_time(adapter: Adapter) {
    expect_prompt_closes(adapter, Transport::Plain);
}

fn closing_a_session_during_broadcasts_takes_no_time_by_tls(adapter: Adapter) {
    expect_prompt_closes(adapter, Transport::Tls);
}
