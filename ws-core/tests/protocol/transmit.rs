//! The queue of bytes to be written, compared with a plain vector, and the accounts of a connection.

use std::io::Write as _;

use bytes::{Buf, Bytes};
use proptest::{collection::vec, prelude::*};
use ws_core::{Connection, Message, Role, Transmit};

use crate::support::{ROLES, cases, drained, open_with, strategies};

/// An operation on a [`Transmit`].
#[derive(Clone, Debug)]
enum Step {
    Extend(usize),
    Push(usize),
    Write(usize),
    Advance(usize),
    /// Moves the bytes to the other queue, which may not be empty.
    Drain,
    /// Swaps the two queues.
    Swap,
}

fn step() -> impl Strategy<Value = Step> {
    let len = || prop_oneof![40 => 0..20_usize, 20 => 0..2000_usize, 1 => 100_000..200_000_usize];
    prop_oneof![
        3 => len().prop_map(Step::Extend),
        3 => len().prop_map(Step::Push),
        2 => len().prop_map(Step::Write),
        5 => len().prop_map(Step::Advance),
        2 => Just(Step::Drain),
        1 => Just(Step::Swap),
    ]
}

/// A queue and the vector that it has to equal.
#[derive(Default)]
struct Pair {
    queue: Transmit,
    model: Vec<u8>,
}

impl Pair {
    fn check(&self) -> Result<(), TestCaseError> {
        let Self { queue, model } = self;
        prop_assert_eq!(queue.remaining(), model.len());
        prop_assert_eq!(queue.has_remaining(), !model.is_empty());
        prop_assert_eq!(queue.chunk().is_empty(), model.is_empty(), "what remains can be read");
        prop_assert!(model.starts_with(queue.chunk()));
        let mut slices = [std::io::IoSlice::new(&[]); 4];
        let filled = queue.chunks_vectored(&mut slices);
        let vectored: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
        prop_assert!(model.starts_with(&vectored));
        prop_assert_eq!(vectored.is_empty(), model.is_empty());
        Ok(())
    }
}

proptest! {
    #![proptest_config(cases(100))]

    // Invariant: after any operations, a queue contains the bytes that were appended and not read, in order.
    #[test]
    fn a_queue_of_output_is_a_vector_of_bytes(steps in vec(step(), 0..60)) {
        let (mut one, mut other) = (Pair::default(), Pair::default());
        let ramp: Vec<u8> = (0..=u8::MAX).collect::<Vec<_>>().repeat(800);
        let mut next = 0;
        let mut bytes = |len| -> Vec<u8> {
            next = (next + 1) % 256;
            ramp[next..next + len].to_vec()
        };
        for step in steps {
            match step {
                Step::Extend(len) => {
                    let bytes = bytes(len);
                    one.queue.extend_from_slice(&bytes);
                    one.model.extend(bytes);
                }
                Step::Push(len) => {
                    let bytes = bytes(len);
                    one.queue.push(Bytes::from(bytes.clone()));
                    one.model.extend(bytes);
                }
                Step::Write(len) => {
                    let bytes = bytes(len);
                    one.queue.write_all(&bytes).unwrap();
                    one.queue.flush().unwrap();
                    one.model.extend(bytes);
                }
                Step::Advance(len) => {
                    one.queue.advance(len);
                    one.model.drain(..len.min(one.model.len()));
                }
                Step::Drain => {
                    one.queue.drain_into(&mut other.queue);
                    other.model.append(&mut one.model);
                }
                Step::Swap => std::mem::swap(&mut one, &mut other),
            }
            one.check()?;
            other.check()?;
        }
        for mut pair in [one, other] {
            prop_assert!(drained(&mut pair.queue) == pair.model);
        }
    }
}

/// A way to write the output of a connection.
#[derive(Clone, Debug)]
enum Way {
    Advance(usize),
    Take,
    TakeWith { limit: usize, each: usize },
    Written(usize),
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        (0..3000_usize).prop_map(Way::Advance),
        Just(Way::Take),
        (0..9000_usize, 0..3000_usize).prop_map(|(limit, each)| Way::TakeWith { limit, each }),
        (0..9000_usize).prop_map(Way::Written),
    ]
}

fn open(role: Role) -> Connection {
    open_with(role, |config| config.write_buffer_size = usize::MAX)
}

proptest! {
    #![proptest_config(cases(100))]

    // Invariant: with every way to write, the output has the same bytes, and the accounts of queued, unwritten and
    // written bytes agree after each call.
    #[test]
    fn every_way_to_write_yields_the_same_bytes_and_accounts(
        role in strategies::role(),
        steps in vec((prop::option::of(strategies::payload()), way()), 0..40),
    ) {
        let (mut connection, mut reference) = (open(role), open(role));
        let (mut output, mut driver) = (Vec::new(), Transmit::default());
        let (mut queued, mut written) = (0_u64, 0_u64);
        for (payload, way) in steps {
            if let Some(payload) = payload {
                let message = Message::from(payload);
                connection.send(message.clone()).unwrap();
                let before = reference.total_queued();
                reference.send(message).unwrap();
                queued += reference.total_queued() - before;
            }
            match way {
                Way::Advance(most) if !driver.has_remaining() => {
                    let mut buffer = connection.transmit();
                    let bytes = buffer.copy_to_bytes(buffer.remaining().min(most));
                    written += bytes.len() as u64;
                    output.extend_from_slice(&bytes);
                }
                Way::Advance(_) => {}
                Way::Take => connection.take_transmit(&mut driver),
                Way::TakeWith { limit, each } => {
                    let before = driver.remaining();
                    let taken = connection.take_with(limit, |piece| {
                        assert!(!piece.is_empty());
                        let piece = &piece[..piece.len().min(each)];
                        driver.extend_from_slice(piece);
                        piece.len()
                    });
                    prop_assert!(taken <= limit);
                    prop_assert_eq!(driver.remaining() - before, taken);
                }
                Way::Written(most) => {
                    let bytes = driver.copy_to_bytes(driver.remaining().min(most));
                    connection.written(bytes.len());
                    written += bytes.len() as u64;
                    output.extend_from_slice(&bytes);
                }
            }
            prop_assert_eq!(connection.total_queued(), queued);
            prop_assert_eq!(connection.total_written(), written);
            prop_assert_eq!(connection.buffered() as u64, queued - written);
            prop_assert_eq!(connection.wants_write(), connection.buffered() > driver.remaining());
        }
        connection.take_transmit(&mut driver);
        output.extend_from_slice(&driver.copy_to_bytes(driver.remaining()));
        prop_assert!(output == drained(&mut reference.transmit()));
    }
}

#[test]
fn taking_stops_when_nothing_is_taken_and_at_the_limit() {
    for role in ROLES {
        let mut connection = open(role);
        connection.send(vec![7; 1000]).unwrap();
        connection.send(vec![8; 100_000]).unwrap();
        let all = connection.buffered();
        assert_eq!(connection.take_with(usize::MAX, |_| 0), 0);
        assert_eq!(connection.take_with(0, |_| panic!("nothing may be taken")), 0);
        assert_eq!(connection.take_with(10, |piece| piece.len()), 10);
        // A larger number than that of the offered bytes counts as all of them.
        assert_eq!(connection.take_with(20, |_| usize::MAX), 20);
        assert_eq!(connection.take_with(usize::MAX, |piece| piece.len()), all - 30);
        assert_eq!((connection.buffered(), connection.wants_write()), (all, false));
        connection.written(all);
        assert_eq!((connection.buffered(), connection.total_written()), (0, all as u64));
    }
}

#[test]
fn reports_of_more_than_was_taken_count_what_was_taken() {
    for role in ROLES {
        let mut connection = open(role);
        connection.send("never taken").unwrap();
        let queued = connection.total_queued();
        connection.written(1000);
        assert_eq!((connection.total_written(), connection.buffered() as u64), (0, queued));
        let mut output = Transmit::default();
        connection.take_transmit(&mut output);
        connection.written(usize::MAX);
        assert_eq!((connection.total_written(), connection.buffered()), (queued, 0));
    }
}
