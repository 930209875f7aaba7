//! Pings are answered, the latest one always, and a flood of pings costs no memory (RFC 6455 section 5.5.3).

use bytes::Buf;
use proptest::{collection::vec, prelude::*};
use ws_core::{Connection, Role};

use crate::support::{
    ROLES, cases, drained, hear, open, open_with, ping, pong, receive, sent, strategies,
    wire::{self, Frame, PONG},
};

#[test]
fn a_ping_is_answered_with_its_payload() {
    for role in ROLES {
        for payload in [vec![], b"Hello".to_vec(), vec![0xFF; 125]] {
            let mut connection = open(role);
            assert_eq!(hear(&mut connection, &[Frame::ping(payload.clone())]), [ping(&payload)]);
            assert!(connection.wants_write());
            assert_eq!(sent(&mut connection), [Frame::pong(payload)]);
            assert!(!connection.wants_write());
        }
    }
}

#[test]
fn a_pong_is_handed_out_and_not_answered() {
    for role in ROLES {
        let mut connection = open(role);
        assert_eq!(hear(&mut connection, &[Frame::pong("unasked")]), [pong(b"unasked")]);
        assert!(!connection.wants_write());
    }
}

#[test]
fn an_answer_is_due_even_while_messages_are_refused() {
    let mut server = open_with(Role::Server, |config| config.write_buffer_size = 0);
    assert!(server.send("").is_err());
    hear(&mut server, &[Frame::ping("alive?")]);
    assert_eq!(sent(&mut server), [Frame::pong("alive?")]);
}

#[test]
fn each_ping_is_answered_if_the_answer_before_is_already_written() {
    for role in ROLES {
        let mut connection = open(role);
        for number in 0..100_u8 {
            hear(&mut connection, &[Frame::ping([number])]);
            assert_eq!(sent(&mut connection), [Frame::pong([number])]);
        }
    }
}

/// Maximum number of bytes that answers to pings may hold.
const BOUND: usize = 8 << 10;

#[test]
fn unwritten_answers_to_a_ping_flood_stay_small_and_the_last_remains() {
    for role in ROLES {
        let mut connection = open(role);
        for number in 0..20_000_u32 {
            let payload = [&number.to_be_bytes()[..], &[0; 121]].concat();
            receive(&mut connection, &Frame::ping(payload).encode_for(role));
            // A driver with a socket that accepts nothing.
            assert!(connection.transmit().remaining() <= BOUND);
        }
        let pongs = sent(&mut connection);
        assert_eq!(pongs.last().map(|pong| &pong.payload[..4]), Some(&19_999_u32.to_be_bytes()[..]));
        assert!(pongs.iter().map(|pong| pong.encode().len()).sum::<usize>() <= BOUND + 131);
        assert!(pongs.is_sorted_by_key(|pong| pong.payload[..4].to_vec()));
    }
}

#[test]
fn behind_much_unwritten_data_a_flood_of_pings_adds_at_most_two_pongs() {
    for role in ROLES {
        let mut connection = open(role);
        connection.send(vec![0; 60_000]).unwrap();
        for number in 0..1000_u32 {
            hear(&mut connection, &[Frame::ping(number.to_be_bytes())]);
            connection.transmit();
        }
        let frames = sent(&mut connection);
        let pongs: Vec<_> = frames.iter().filter(|frame| frame.opcode == PONG).collect();
        assert!(pongs.len() <= 2, "{}", pongs.len());
        assert_eq!(pongs.last().unwrap().payload, 999_u32.to_be_bytes());
    }
}

#[test]
fn a_written_pong_makes_room_for_the_next_behind_unwritten_data() {
    for role in ROLES {
        let mut connection = open(role);
        hear(&mut connection, &[Frame::ping("first")]);
        connection.send(&[0; 20_000]).unwrap();
        let mut output = write_some(&mut connection, 12_000);
        connection.send("before").unwrap();
        hear(&mut connection, &[Frame::ping("second")]);
        connection.send("after").unwrap();
        output.extend(crate::support::written(&mut connection));
        let payloads: Vec<_> =
            wire::frames(&output).unwrap().into_iter().map(|frame| frame.payload).collect();
        assert_eq!(payloads[2..], [&b"before"[..], b"second", b"after"]);
    }
}

/// A step of a peer that sends pings, or of a driver that writes occasionally.
#[derive(Clone, Debug)]
enum Step {
    Ping(u8),
    Send(usize),
    Write(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..120_u8).prop_map(Step::Ping),
        2 => prop_oneof![0..50_usize, 3000..6000_usize].prop_map(Step::Send),
        2 => (1..400_usize).prop_map(Step::Write),
    ]
}

fn write_some(connection: &mut Connection, most: usize) -> Vec<u8> {
    let mut buffer = connection.transmit();
    let most = buffer.remaining().min(most);
    drained(&mut buffer.copy_to_bytes(most))
}

proptest! {
    #![proptest_config(cases(500))]

    // Invariant: pongs answer pings in their order, none twice, and the last ping of all is answered.
    #[test]
    fn the_last_ping_is_always_answered_whenever_the_driver_writes(
        role in strategies::role(),
        steps in vec(step(), 1..60),
    ) {
        let mut connection = open_with(role, |config| config.write_buffer_size = usize::MAX);
        let mut output = Vec::new();
        let mut pings = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            match *step {
                Step::Ping(len) => {
                    // The number makes each ping unique.
                    let payload = [&[number as u8], &vec![0; usize::from(len)][..]].concat();
                    hear(&mut connection, &[Frame::ping(payload.clone())]);
                    pings.push(payload);
                }
                Step::Send(len) => connection.send(vec![0; len]).unwrap(),
                Step::Write(most) => output.extend(write_some(&mut connection, most)),
            }
        }
        while connection.wants_write() {
            let before = output.len();
            output.extend(write_some(&mut connection, usize::MAX));
            prop_assert!(output.len() > before, "what wants to be written can be");
        }
        let mut pongs = wire::frames(&output).unwrap();
        pongs.retain(|frame| frame.opcode == PONG);
        let pongs: Vec<_> = pongs.into_iter().map(|frame| frame.payload).collect();
        let mut unanswered = pings.iter();
        for pong in &pongs {
            prop_assert!(unanswered.any(|ping| ping == pong), "a pong out of order");
        }
        prop_assert_eq!(pongs.last(), pings.last());
    }
}
