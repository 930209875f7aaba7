//! Two endpoints together: they end after any actions of both.

use std::{sync::Arc, time::Duration};

use proptest::{collection::vec, prelude::*};
use ws_core::{CloseCode, Config, Connection, Event, Message, Role, State, Timestamp};

use crate::support::{Pair, ROLES, cases, config, other, secs, strategies};

/// An event at one end, or on its incoming link.
#[derive(Clone, Copy, Debug)]
enum Step {
    Send(usize),
    Ping(u8),
    Close,
    Fail,
    Write(usize),
    Read(usize),
    Pause(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => strategies::len().prop_map(Step::Send),
        2 => (0..126_u8).prop_map(Step::Ping),
        1 => Just(Step::Close),
        1 => Just(Step::Fail),
        6 => (0..5000_usize).prop_map(Step::Write),
        6 => (0..5000_usize).prop_map(Step::Read),
        2 => (0..10_000_u64).prop_map(Step::Pause),
    ]
}

fn steps() -> impl Strategy<Value = Vec<(Role, Step)>> {
    vec((strategies::role(), step()), 0..40)
}

/// Carries out a step, and then reports the time, as a driver does.
fn apply(pair: &mut Pair, role: Role, step: Step) {
    let connection = &mut pair.end(role).connection;
    // Refusals, because the buffer is full or the connection is closing, do not matter here.
    let _ = match step {
        Step::Send(len) => connection.send(vec![0x42; len]),
        Step::Ping(len) => connection.ping(&vec![0x42; usize::from(len)]),
        Step::Close => connection.close(CloseCode::GOING_AWAY, "step"),
        Step::Fail => connection.fail(CloseCode::POLICY_VIOLATION, "step"),
        Step::Write(most) => {
            pair.write(role, most);
            Ok(())
        }
        Step::Read(most) => {
            pair.read(role, most);
            Ok(())
        }
        Step::Pause(millis) => {
            pair.set_now(pair.now() + Duration::from_millis(millis));
            Ok(())
        }
    };
    pair.advance_to(role);
}

/// Ends a connection in one of the ways that this end has.
fn end(connection: &mut Connection, way: usize) {
    match way {
        0 => drop(connection.close(CloseCode::NORMAL_CLOSURE, "end")),
        1 => drop(connection.fail(CloseCode::POLICY_VIOLATION, "end")),
        _ => connection.receive_eof(),
    }
}

fn patient() -> Arc<Config> {
    config(|config| {
        config.keepalive = None;
        config.close_timeout = secs(5);
    })
}

proptest! {
    #![proptest_config(cases(400))]

    // Invariant: an end that begins to close is finished within the close timeout, if the peer reads, writes, closes
    // or has vanished.
    #[test]
    fn closing_always_ends_in_time_whatever_the_peer_does(
        steps in steps(),
        closer in strategies::role(),
        way in 0..3_usize,
        peer_lives: bool,
    ) {
        let mut pair = Pair::open(patient());
        for (role, step) in steps {
            apply(&mut pair, role, step);
        }
        end(&mut pair.end(closer).connection, way);
        prop_assert_ne!(pair.end(closer).connection.state(), State::Open);
        pair.advance_to(closer);
        let began = pair.now();
        loop {
            if peer_lives {
                pair.run_until_idle();
            }
            let connection = &mut pair.end(closer).connection;
            if connection.is_finished() {
                break;
            }
            let due = connection.poll_timeout().expect("something is waited for");
            prop_assert!(due <= began + secs(5), "{due} is too late");
            pair.set_now(pair.now().max(due));
            pair.advance_to(closer);
        }
        prop_assert!(pair.now() <= began + secs(5));
    }

    // Invariant: if both ends are alive and follow the protocol, both finish at once, without any timeout, and
    // neither reports a protocol error.
    #[test]
    fn two_living_ends_finish_without_waiting(
        steps in steps(),
        closer in strategies::role(),
        way in 0..2_usize,
    ) {
        let mut pair = Pair::open(patient());
        for (role, step) in steps {
            apply(&mut pair, role, step);
        }
        let before = pair.now();
        end(&mut pair.end(closer).connection, way);
        pair.run_until_idle();
        prop_assert_eq!(pair.now(), before);
        for role in ROLES {
            let end = pair.end(role);
            prop_assert!(end.connection.is_finished(), "{role:?}: {:?}", end.connection);
            prop_assert_eq!(end.error(), None);
        }
    }

    // Invariant: all messages that were sent before a clean close have arrived when both ends are finished.
    #[test]
    fn nothing_sent_before_a_clean_close_is_lost(
        lens in vec((strategies::role(), strategies::len()), 0..10),
        closer in strategies::role(),
    ) {
        let config = config(|config| {
            config.write_buffer_size = usize::MAX;
            config.keepalive = None;
        });
        let mut pair = Pair::open(config);
        for (role, len) in &lens {
            pair.end(*role).connection.send(vec![7; *len]).unwrap();
        }
        pair.end(closer).connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        pair.run_until_idle();
        for role in ROLES {
            let sent: Vec<_> = lens.iter().filter(|(from, _)| *from != role).map(|(_, len)| *len).collect();
            let end = pair.end(role);
            prop_assert!(end.connection.close_info().is_some_and(|close_info| close_info.was_clean));
            let received: Vec<_> = end.events().iter().filter_map(|event| match event {
                Event::Message(Message::Binary(bytes)) => Some(bytes.len()),
                _ => None,
            }).collect();
            prop_assert_eq!(received, sent);
        }
    }

    // Invariant: the same configuration, seed and steps produce the same bytes and the same events.
    #[test]
    fn a_conversation_is_determined_by_its_seed_and_its_steps(steps in steps(), seed: [u8; 32]) {
        let run = || {
            let config = config(|_| {});
            let client = Connection::client(config.clone(), seed, Timestamp::ZERO);
            let mut pair = Pair::new(client, Connection::server(config, Timestamp::ZERO));
            for (role, step) in &steps {
                apply(&mut pair, *role, *step);
            }
            pair.run_until_idle();
            ROLES.map(|role| {
                let end = pair.end(role);
                (end.output().to_vec(), end.take_events(), end.connection.close_info(), end.connection.latency())
            })
        };
        prop_assert!(run() == run());
    }
}

#[test]
fn two_idle_ends_keep_each_other_alive() {
    let mut pair = Pair::open(config(|_| {}));
    let mut wakes = 0;
    while pair.now() < crate::support::at(3600) {
        let due = pair.next_timeout().unwrap();
        pair.set_now(due);
        pair.run_until_idle();
        wakes += 1;
        for role in ROLES {
            assert_eq!(pair.end(role).connection.state(), State::Open);
        }
    }
    assert!(wakes <= 2 * 3600 / 20, "{wakes} times woken");
    assert_eq!(pair.end(Role::Client).connection.latency(), Some(Duration::ZERO));
}

#[test]
fn when_one_end_vanishes_the_other_notices() {
    for survivor in ROLES {
        let mut pair = Pair::open(config(|_| {}));
        pair.end(other(survivor)).connection.send("last words").unwrap();
        pair.run_until_idle();
        while let Some(due) = pair.end(survivor).connection.poll_timeout() {
            pair.set_now(due);
            pair.advance_to(survivor);
            pair.write(survivor, usize::MAX);
        }
        assert!(pair.end(survivor).connection.is_finished());
        assert!(pair.now() <= crate::support::at(40));
    }
}
