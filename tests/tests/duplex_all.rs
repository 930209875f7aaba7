//! Both directions of a connection at the same time, in all combinations of adapters, with and without TLS.

use std::{sync::mpsc, thread, time::Duration};

use ws_std::{CloseCode, Error};
use ws_tests::{
    either::{Pairing, Receiver, Route, Sender, WebSocket},
    let_pass, with_every_pairing,
};

with_every_pairing! {
    two_threads_send_while_a_third_waits_in_receive
    two_peers_send_much_at_once_and_one_does_not_read_at_first
    peers_that_fill_all_buffers_before_they_read_go_on
    a_sender_is_not_kept_waiting_by_a_parked_receive
}

const MESSAGE: usize = 64 << 10;
/// Sends from two threads, and receives as much in a third thread, which starts a little later. Returns both halves,
/// because the other end may still have to read.
fn talk(ws: WebSocket, each: usize, pause: Duration) -> impl FnOnce() -> (Sender, Receiver) {
    let (sender, receiver) = ws.split();
    let senders = [1_u8, 2].map(|kind| {
        let sender = sender.clone();
        thread::spawn(move || send_all(&sender, kind, each))
    });
    let receiving = thread::spawn(move || {
        let_pass(pause);
        receive_all(receiver, each)
    });
    move || {
        senders.into_iter().for_each(|sending| sending.join().unwrap());
        (sender, receiving.join().unwrap())
    }
}

fn send_all(sender: &Sender, kind: u8, each: usize) {
    for at in 0..each {
        let mut message = vec![kind; MESSAGE];
        message[1..9].copy_from_slice(&(at as u64).to_le_bytes());
        sender.send(message).unwrap();
    }
}

fn receive_all(mut receiver: Receiver, each: usize) -> Receiver {
    let mut next = [0; 2];
    for _ in 0..2 * each {
        let message = receiver.receive().unwrap().unwrap().into_bytes();
        let kind = message[0];
        let next = &mut next[usize::from(kind) - 1];
        assert_eq!(message[1..9], u64::to_le_bytes(*next), "of sender {kind}");
        assert!(message.len() == MESSAGE && message[9..].iter().all(|&byte| byte == kind));
        *next += 1;
    }
    assert_eq!(next, [each as u64; 2]);
    receiver
}

fn two_peers_send_much_at_once_and_one_does_not_read_at_first(pairing: Pairing) {
    let (_server, handed, client) = pairing.open();
    // 64 MiB in each direction with TLS, where more can go wrong.
    let each = if pairing.transport.is_tls() { 512 } else { 128 };
    let server = talk(handed.ws, each, Duration::from_millis(500));
    let client = talk(client, each, Duration::ZERO);
    let (_client, _server) = (client(), server());
}

fn two_threads_send_while_a_third_waits_in_receive(pairing: Pairing) {
    let (_server, mut handed, client) = pairing.open();
    let (sender, mut receiver) = client.split();
    let receiving = thread::spawn(move || receiver.receive());
    let senders = [1, 2].map(|kind| {
        let sender = sender.clone();
        thread::spawn(move || (0..200).for_each(|_| sender.send(vec![kind; 1000]).unwrap()))
    });
    let mut count = [0; 2];
    for _ in 0..400 {
        let message = handed.ws.message().into_bytes();
        assert!(message.iter().all(|&byte| byte == message[0]), "mixed");
        count[usize::from(message[0]) - 1] += 1;
    }
    assert_eq!(count, [200, 200]);
    senders.into_iter().for_each(|sending| sending.join().unwrap());
    handed.ws.send("that was all").unwrap();
    assert_eq!(receiving.join().unwrap().unwrap().unwrap(), "that was all");
}

fn peers_that_fill_all_buffers_before_they_read_go_on(pairing: Pairing) {
    const MESSAGES: usize = 12;
    const SIZE: usize = 1 << 20;
    let (_server, handed, client) = pairing.open();
    let ends = [handed.ws, client].map(|ws| {
        thread::spawn(move || {
            let (sender, mut receiver) = ws.split();
            // The sender waits until the peer reads, and the peer reads only in another thread.
            let sending =
                thread::spawn(move || (0..MESSAGES).for_each(|_| sender.send(vec![5; SIZE]).unwrap()));
            let_pass(Duration::from_millis(100));
            for _ in 0..MESSAGES {
                assert_eq!(receiver.receive().unwrap().unwrap().len(), SIZE);
            }
            sending.join().unwrap();
            receiver
        })
    });
    for end in ends {
        end.join().unwrap();
    }
}

fn a_sender_is_not_kept_waiting_by_a_parked_receive(pairing: Pairing) {
    let route = Route::echo(pairing.server);
    let server = pairing.serve(route).start();
    let client = pairing.client(&server, "/").connect().unwrap();
    let (sender, mut receiver) = client.split();
    let (tell, told) = mpsc::channel();
    let receiving = thread::spawn(move || -> Result<(), Error> {
        while let Some(message) = receiver.receive()? {
            tell.send(message).expect("the test waits");
        }
        Ok(())
    });
    for number in 0..50 {
        sender.send(format!("{number}")).unwrap();
        // The answer arrives only if the question was sent while the other thread was in `receive`.
        assert_eq!(told.recv().unwrap(), *format!("{number}"));
    }
    sender.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    receiving.join().unwrap().unwrap();
}
