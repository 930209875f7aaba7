//! The time at which messages and replies are sent.

use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use ws_std::{Error, Event, Message, PreparedMessage, Server};
use ws_tests::{PATIENCE, Raw, Running, bounded, echo, hand_over, wire, wire::Frame};

/// Starts a server with a handler that sends something and then waits for a channel until the test ends.
fn busy_after(
    say: impl Fn(&ws_std::WebSocket) -> Result<(), Error> + Send + Sync + 'static,
) -> (Running, mpsc::Sender<()>) {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let server = Running::start(Server::new().route("/", move |_, ws| {
        say(&ws)?;
        let _ = released.lock().unwrap().recv_timeout(PATIENCE);
        Ok(())
    }));
    (server, release)
}

#[test]
fn the_connection_opens_before_a_handler_that_does_something_else_first() {
    bounded(|| {
        let (server, _release) = busy_after(|_| Ok(()));
        ws_std::connect(&server.url("/")).unwrap();
    });
}

#[test]
fn what_send_was_given_arrives_while_the_handler_does_something_else() {
    bounded(|| {
        let (server, _release) = busy_after(|ws| {
            ws.send("text")?;
            ws.send(vec![1; 100_000])?;
            ws.send_prepared(&PreparedMessage::new("prepared"))
        });
        let mut ws = ws_std::connect(&server.url("/")).unwrap();
        assert_eq!(ws.receive().unwrap().unwrap(), "text");
        assert_eq!(ws.receive().unwrap().unwrap(), *vec![1; 100_000]);
        assert_eq!(ws.receive().unwrap().unwrap(), "prepared");
    });
}

#[test]
fn what_feed_was_given_arrives_after_a_flush() {
    bounded(|| {
        let (server, _release) = busy_after(|ws| {
            ws.feed("one")?;
            ws.feed("two")?;
            ws.flush()
        });
        let mut ws = ws_std::connect(&server.url("/")).unwrap();
        assert_eq!(ws.receive().unwrap().unwrap(), "one");
        assert_eq!(ws.receive().unwrap().unwrap(), "two");
    });
}

#[test]
fn what_feed_was_given_leaves_before_the_next_send() {
    bounded(|| {
        let (server, _release) = busy_after(|ws| {
            ws.feed("one")?;
            ws.send("two")
        });
        let mut ws = ws_std::connect(&server.url("/")).unwrap();
        assert_eq!(ws.receive().unwrap().unwrap(), "one");
        assert_eq!(ws.receive().unwrap().unwrap(), "two");
    });
}

#[test]
fn what_feed_was_given_leaves_when_receive_waits() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let mut ws = ws_std::connect(&server.url("/")).unwrap();
        for turn in 0..100 {
            ws.feed(format!("{turn}")).unwrap();
            assert_eq!(ws.receive().unwrap().unwrap(), *format!("{turn}"));
        }
    });
}

#[test]
fn a_hundred_messages_that_come_at_once_are_answered_in_their_order() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let mut raw = Raw::open(server.address(), "/");
        let batch: Vec<u8> =
            (0..100).flat_map(|number| Frame::text(&number.to_string()).masked().encode()).collect();
        raw.write(batch);
        for number in 0..100 {
            assert_eq!(raw.frame(), Frame::text(&number.to_string()));
        }
    });
}

#[test]
fn a_batch_larger_than_the_write_buffer_is_answered_in_its_order() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let mut ws = ws_std::connect(&server.url("/")).unwrap();
        for number in 0..100_u8 {
            ws.feed(vec![number; 4000]).unwrap();
        }
        for number in 0..100 {
            assert_eq!(ws.receive().unwrap().unwrap(), *vec![number; 4000]);
        }
    });
}

#[test]
fn pings_are_answered_while_the_handler_is_parked_in_receive() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let mut raw = Raw::open(server.address(), "/");
        for number in 0..100_u8 {
            raw.send(Frame::new(Frame::PING, [number]));
            assert_eq!(raw.frame(), Frame::new(Frame::PONG, [number]));
        }
    });
}

#[test]
fn a_ping_in_the_middle_of_a_message_is_answered_before_its_end_comes() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let mut raw = Raw::open(server.address(), "/");
        raw.send(Frame::text("one ").unfinished());
        raw.send(Frame::new(Frame::PING, "there?"));
        assert_eq!(raw.frame(), Frame::new(Frame::PONG, "there?"));
        raw.send(Frame::new(Frame::CONTINUATION, "message"));
        assert_eq!(raw.frame(), Frame::text("one message"));
    });
}

#[test]
fn pings_and_pongs_show_as_events() {
    bounded(|| {
        let (route, take) = hand_over();
        let server = Running::start(Server::new().mount("/", route));
        let mut ws = ws_std::connect(&server.url("/")).unwrap();
        let mut there = take();
        ws.ping(b"there?").unwrap();
        assert_eq!(there.ws.receive_event().unwrap(), Some(Event::Ping(b"there?".into())));
        // The pong is sent when no more input is available.
        there.ws.set_read_timeout(Some(Duration::ZERO));
        assert!(matches!(there.ws.receive(), Err(Error::Timeout(_))));
        assert_eq!(ws.receive_event().unwrap(), Some(Event::Pong(b"there?".into())));
        there.ws.send("and a message").unwrap();
        assert_eq!(ws.receive_event().unwrap(), Some(Event::Message(Message::from("and a message"))));
    });
}

#[test]
fn a_client_that_sends_its_first_messages_with_the_request_is_answered() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let mut raw = Raw::connect(server.address());
        let mut hasty = wire::request("/", &[]).into_bytes();
        hasty.extend(Frame::text("hasty").masked().encode());
        raw.write(hasty);
        raw.head();
        assert_eq!(raw.frame(), Frame::text("hasty"));
    });
}
