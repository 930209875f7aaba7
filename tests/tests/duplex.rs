//! Sending and receiving at the same time.

use std::{thread, time::Duration};

use ws_std::{
    Chunk, Client, CloseCode, Error, HandlerResult, Receiver, Route, SendError, Sender, Server, WebSocket,
};
use ws_tests::{Raw, Running, bounded, echo, hand_over, let_pass, wire::Frame};

const MESSAGE: usize = 1 << 20;
/// Number of messages. Each thread sends half of them, so that 64 MiB go in each direction.
const MESSAGES: usize = 64;

/// Sends the messages that `receive_all` expects from two threads.
fn send_all(sender: &Sender) {
    thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                for number in 0..MESSAGES / 2 {
                    sender.send(message(half, number)).unwrap();
                }
            });
        }
    });
}

fn message(half: u8, number: usize) -> Vec<u8> {
    let mut message = vec![half ^ number as u8; MESSAGE];
    message[0] = half;
    message[MESSAGE - 1] = number as u8;
    message
}

/// The next expected message of each thread. Messages of one thread arrive in order and are never mixed with others.
#[derive(Default)]
struct Expected([usize; 2]);

impl Expected {
    fn check(&mut self, payload: &[u8]) {
        let half = usize::from(payload[0]);
        assert!(payload == message(half as u8, self.0[half]), "thread {half}, message {}", self.0[half]);
        self.0[half] += 1;
    }
}

fn receive_all(receiver: &mut Receiver) {
    let mut expected = Expected::default();
    for _ in 0..MESSAGES {
        expected.check(receiver.receive().unwrap().unwrap().as_bytes());
    }
}

fn both_ways(ws: WebSocket) -> (Sender, Receiver) {
    let (sender, mut receiver) = ws.split();
    thread::scope(|scope| {
        scope.spawn(|| send_all(&sender));
        receive_all(&mut receiver);
    });
    (sender, receiver)
}

fn flood() -> Server {
    Server::new().route("/", |_, ws| {
        let (_, mut receiver) = both_ways(ws);
        assert!(receiver.receive().unwrap().is_none());
        Ok(())
    })
}

#[test]
fn both_ends_send_64_mib_from_two_threads_each_while_they_receive() {
    bounded(|| {
        let server = Running::start(flood());
        let (sender, mut receiver) = both_ways(ws_std::connect(&server.url("/")).unwrap());
        sender.close(CloseCode::NORMAL_CLOSURE, "enough").unwrap();
        assert!(receiver.receive().unwrap().is_none());
        assert!(sender.close_info().unwrap().was_clean);
    });
}

#[test]
fn a_server_goes_on_receiving_while_the_client_does_not_read() {
    bounded(|| {
        let server = Running::start(flood().configure(|config| config.keepalive = None));
        let mut raw = Raw::open(server.address(), "/");
        let socket = raw.socket().try_clone().unwrap();
        let sending = thread::spawn(move || {
            let mut numbers = [0, 0];
            for turn in 0..MESSAGES {
                let half = turn % 2;
                let frame = Frame::new(Frame::BINARY, message(half as u8, numbers[half])).masked();
                std::io::Write::write_all(&mut &socket, &frame.encode()).unwrap();
                numbers[half] += 1;
            }
        });
        let_pass(Duration::from_millis(500));
        let mut expected = Expected::default();
        for _ in 0..MESSAGES {
            expected.check(&raw.frame().payload);
        }
        sending.join().unwrap();
        raw.send(Frame::close(1000, ""));
        assert_eq!(raw.frame().code_and_reason(), (1000, ""));
        assert_eq!(raw.next_frame(), None);
    });
}

#[test]
fn a_receiver_that_is_parked_keeps_nobody_from_sending() {
    bounded(|| {
        let (route, take) = hand_over();
        let server = Running::start(Server::new().mount("/", route).route("/echo", echo));
        let (sender, mut receiver) = ws_std::connect(&server.url("/")).unwrap().split();
        let mut there = take();
        let receiving = thread::spawn(move || receiver.receive().unwrap().unwrap());
        for number in 0..100 {
            sender.send(format!("{number}")).unwrap();
            assert_eq!(there.ws.receive().unwrap().unwrap(), *format!("{number}"));
        }
        assert!(!receiving.is_finished());
        there.ws.send("done").unwrap();
        assert_eq!(receiving.join().unwrap(), "done");
    });
}

#[test]
fn close_from_one_thread_ends_the_receive_of_another() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let (sender, mut receiver) = ws_std::connect(&server.url("/")).unwrap().split();
        let receiving = thread::spawn(move || receiver.receive());
        sender.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        assert!(matches!(receiving.join().unwrap(), Ok(None)));
        assert!(sender.close_info().unwrap().was_clean);
        assert!(matches!(sender.send("too late"), Err(Error::Closed(close_info)) if close_info.was_clean));
    });
}

#[test]
fn a_sender_that_outlives_its_handler_gets_an_error() {
    bounded(|| {
        let (keep, kept) = std::sync::mpsc::channel();
        let keep = std::sync::Mutex::new(keep);
        let route = Route::new(move |_, ws| Ok(keep.lock().unwrap().send(ws.sender())?));
        let server = Running::start(Server::new().mount("/", route));
        let mut ws = ws_std::connect(&server.url("/")).unwrap();
        let sender = kept.recv().unwrap();
        assert!(matches!(ws.receive(), Ok(None)));
        assert!(matches!(sender.send("too late"), Err(Error::Closed(_))));
    });
}

#[test]
fn between_the_chunks_of_a_message_no_other_can_be_sent() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let mut ws = ws_std::connect(&server.url("/")).unwrap();
        let other = ws.sender();
        ws.send_chunk(Chunk::new("one ")).unwrap();
        assert!(matches!(other.send("two"), Err(Error::Send(SendError::MessageInProgress))));
        assert!(matches!(other.send_chunk(Chunk::last(b"two")), Err(Error::Send(SendError::WrongKind))));
        other.ping(b"in between").unwrap();
        ws.send_chunk(Chunk::last("message")).unwrap();
        assert_eq!(ws.receive().unwrap().unwrap(), "one message");
    });
}

#[test]
fn a_receiver_may_move_to_a_thread_that_outlives_the_handler() {
    bounded(|| {
        let (heard, hear) = std::sync::mpsc::channel();
        let heard = std::sync::Mutex::new(heard);
        let handler = move |_, ws: WebSocket| -> HandlerResult {
            let (sender, mut receiver) = ws.split();
            let heard = heard.lock().unwrap().clone();
            thread::spawn(move || heard.send(receiver.receive().map(|message| message.is_none())));
            sender.send("bye")?;
            Ok(())
        };
        let server = Running::start(Server::new().route("/", handler));
        let mut ws = Client::new(&server.url("/")).connect().unwrap();
        assert_eq!(ws.receive().unwrap().unwrap(), "bye");
        assert!(ws.receive().unwrap().is_none());
        assert_eq!(ws.close_info().unwrap().code, CloseCode::NORMAL_CLOSURE);
        assert!(hear.recv().unwrap().unwrap());
    });
}
