//! An example of testing your own protocol without sockets. The protocol sends numbered requests and responses over
//! WebSocket.
//!
//! `cargo test -p ws-core --example testing_a_protocol`
//!
//! The protocol does not use sockets either: it receives events and the time, and sends through a [`Connection`]. So
//! the same code runs on top of a driver and in the tests below. The tests delay, split and lose bytes, and thirty
//! seconds pass at once.

#![cfg_attr(not(test), allow(dead_code, reason = "it is tested, and that is all"))]

use std::{collections::BTreeMap, time::Duration};

use ws_core::{Connection, Event, Message, SendError, Timestamp};

/// The side that sends requests: `7 the question` is answered by `7 the answer`, in any order.
#[derive(Debug, Default)]
struct Caller {
    next: u32,
    /// The unanswered requests and their deadlines.
    open: BTreeMap<u32, Timestamp>,
}

/// Result of a request.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Answer(u32, String),
    /// No answer arrived in time.
    TimedOut(u32),
}

impl Caller {
    const TIMEOUT: Duration = Duration::from_secs(30);

    /// Sends a question, and returns the number of the request.
    fn send_request(
        &mut self,
        connection: &mut Connection,
        question: &str,
        now: Timestamp,
    ) -> Result<u32, SendError> {
        let number = self.next;
        connection.send(format!("{number} {question}"))?;
        self.next += 1;
        self.open.insert(number, now + Self::TIMEOUT);
        Ok(number)
    }

    /// Handles a message. A message that answers no request is ignored.
    fn handle_message(&mut self, message: &Message<'_>) -> Option<Outcome> {
        let (number, answer) = message.as_text()?.split_once(' ')?;
        let number = number.parse().ok()?;
        self.open.remove(&number)?;
        Some(Outcome::Answer(number, answer.to_owned()))
    }

    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) has to be called, in addition to the
    /// deadlines of the connection.
    fn poll_timeout(&self) -> Option<Timestamp> {
        self.open.values().min().copied()
    }

    /// Gives up requests that have waited too long.
    fn handle_timeout(&mut self, now: Timestamp) -> Vec<Outcome> {
        let late: Vec<_> =
            self.open.iter().filter(|(_, due)| **due <= now).map(|(number, _)| *number).collect();
        self.open.retain(|_, due| *due > now);
        late.into_iter().map(Outcome::TimedOut).collect()
    }
}

/// The side that answers.
fn answer(
    connection: &mut Connection,
    event: &Event<'_>,
    answer: impl FnOnce(&str) -> String,
) -> Result<(), SendError> {
    if let Event::Message(message) = event
        && let Some((number, question)) = message.as_text().and_then(|text| text.split_once(' '))
    {
        connection.send(format!("{number} {}", answer(question)))?;
    }
    Ok(())
}

fn main() {
    println!("cargo test -p ws-core --example testing_a_protocol");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use ws_core::{
        Config, Role,
        testing::{Frame, Pair, Peer, strategies},
    };

    use super::*;

    /// Lets both sides communicate until no more bytes are in transit.
    fn run(pair: &mut Pair, caller: &mut Caller) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some((role, event)) = pair.next_event() {
            match (role, event) {
                (Role::Server, event) => answer(pair.server(), &event, str::to_uppercase).unwrap(),
                (Role::Client, Event::Message(message)) => outcomes.extend(caller.handle_message(&message)),
                _ => {}
            }
        }
        outcomes
    }

    #[test]
    fn a_question_is_answered_after_the_time_that_the_network_takes() {
        let mut pair = Pair::open(Arc::new(Config::default()));
        pair.link(Role::Client).delay(Duration::from_millis(30));
        pair.link(Role::Server).delay(Duration::from_millis(50));
        let mut caller = Caller::default();
        caller.send_request(pair.client(), "why", Timestamp::ZERO).unwrap();
        assert_eq!(run(&mut pair, &mut caller), [Outcome::Answer(0, "WHY".into())]);
        assert_eq!(Duration::from(pair.now()), Duration::from_millis(80));
    }

    #[test]
    fn a_question_without_an_answer_is_given_up_after_thirty_seconds() {
        let mut pair = Pair::open(Arc::new(Config::default()));
        pair.link(Role::Server).silence_after(3);
        let mut caller = Caller::default();
        caller.send_request(pair.client(), "why", Timestamp::ZERO).unwrap();
        assert_eq!(run(&mut pair, &mut caller), []);
        let due = caller.poll_timeout().unwrap();
        pair.advance(due.saturating_duration_since(pair.now()));
        assert_eq!(caller.handle_timeout(pair.now()), [Outcome::TimedOut(0)]);
        assert_eq!(caller.poll_timeout(), None);
    }

    #[test]
    fn an_answer_to_nothing_is_ignored() {
        let mut peer = Peer::for_role(Role::Client, Config::default());
        let mut caller = Caller::default();
        caller.send_request(&mut peer.connection, "why", Timestamp::ZERO).unwrap();
        peer.expect(Frame::text("0 why"));
        peer.send(Frame::text("1 because")).send(Frame::text("because")).send(Frame::text("0 so"));
        let messages = peer.take_events().into_iter().filter_map(|event| match event {
            Event::Message(message) => Some(message),
            _ => None,
        });
        let outcomes: Vec<_> = messages.filter_map(|message| caller.handle_message(&message)).collect();
        assert_eq!(outcomes, [Outcome::Answer(0, "so".into())]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        // All questions are answered, in order, regardless of how the network splits and delays. If the connection is
        // lost at some byte, a part of them is answered.
        #[test]
        fn every_question_is_answered_unless_the_connection_is_lost(
            questions in prop::collection::vec("[a-z ]{0,300}", 1..8),
            sizes in strategies::cuts(),
            delays in [0..500_u64, 0..500],
            loss in prop::option::of(0..500_u64),
        ) {
            let mut pair = Pair::open(Arc::new(Config::default()));
            for (role, delay) in [Role::Client, Role::Server].into_iter().zip(delays) {
                let pieces = sizes.clone().into_iter().cycle();
                pair.link(role).delay(Duration::from_millis(delay)).pieces(pieces);
            }
            if let Some(bytes) = loss {
                pair.link(Role::Server).reset_after(bytes);
            }
            let mut caller = Caller::default();
            for question in &questions {
                caller.send_request(pair.client(), question, Timestamp::ZERO).unwrap();
            }
            let answers = run(&mut pair, &mut caller);
            let expected = questions.iter().zip(0..).map(|(question, number)| {
                Outcome::Answer(number, question.to_uppercase())
            });
            let expected: Vec<_> = expected.take(answers.len()).collect();
            prop_assert_eq!(&answers, &expected);
            prop_assert!(answers.len() == questions.len() || pair.client().is_finished());
        }
    }
}
