//! Messages that are sent in chunks: refusals leave no hole, a sender can give up, and any number of chunks arrive.

use ws_core::{Cause, Chunk, CloseCode, Connection, Delivery, Event, Role, SendError, State};

use crate::support::{
    ROLES, hear, open_with, sent,
    wire::{self, Frame},
    written,
};

/// The part of a chunked message that was sent before the write buffer was full.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Nothing,
    FirstChunk,
}

/// Returns a connection with a full write buffer, optionally after the first chunk of a message.
fn full(role: Role, begun: Begun) -> Connection {
    let mut connection = open_with(role, |config| config.write_buffer_size = 100);
    if begun == Begun::FirstChunk {
        connection.send_chunk(Chunk::new("begun ")).unwrap();
        connection.send_chunk(Chunk::new(" ".repeat(200))).unwrap();
    } else {
        connection.send(" ".repeat(200)).unwrap();
    }
    connection
}

#[test]
fn a_chunk_after_a_refused_one_would_leave_a_hole_and_is_refused() {
    for role in ROLES {
        for begun in [Begun::Nothing, Begun::FirstChunk] {
            let mut connection = full(role, begun);
            assert_eq!(connection.send_chunk(Chunk::new("second")), Err(SendError::BufferFull));
            assert_eq!(connection.send_chunk(Chunk::new("third")), Err(SendError::ChunkSkipped));
            written(&mut connection);
            let before = connection.buffered();
            for skipping in [Chunk::new("third"), Chunk::last("second"), Chunk::new(&b"second"[..])] {
                assert_eq!(connection.send_chunk(skipping), Err(SendError::ChunkSkipped));
            }
            assert_eq!(connection.buffered(), before, "nothing is queued");
        }
    }
}

#[test]
fn a_refused_chunk_can_be_sent_again_and_the_message_goes_on() {
    for role in ROLES {
        for begun in [Begun::Nothing, Begun::FirstChunk] {
            let mut connection = full(role, begun);
            for _ in 0..3 {
                assert_eq!(connection.send_chunk(Chunk::new("second")), Err(SendError::BufferFull));
            }
            written(&mut connection);
            connection.send_chunk(Chunk::new("second")).unwrap();
            connection.send_chunk(Chunk::last("third")).unwrap();
            connection.send("next").unwrap();
            let first = if begun == Begun::FirstChunk {
                Frame::continuation("second")
            } else {
                Frame::text("second")
            };
            let expected = [first.unfinished(), Frame::continuation("third"), Frame::text("next")];
            assert_eq!(sent(&mut connection), expected);
        }
    }
}

#[test]
fn releasing_memory_does_not_forget_a_refused_chunk() {
    for role in ROLES {
        let mut connection = full(role, Begun::FirstChunk);
        assert_eq!(connection.send_chunk(Chunk::new("second")), Err(SendError::BufferFull));
        written(&mut connection);
        connection.handle_timeout(crate::support::at(1));
        connection.shrink_to_fit();
        assert_eq!(connection.send_chunk(Chunk::new("third")), Err(SendError::ChunkSkipped));
    }
}

#[test]
fn a_message_that_is_aborted_closes_the_connection_with_1011() {
    for role in ROLES {
        for refused in [false, true] {
            let mut connection = full(role, Begun::FirstChunk);
            if refused {
                assert_eq!(connection.send_chunk(Chunk::new("second")), Err(SendError::BufferFull));
            }
            connection.abort_message();
            assert_eq!(connection.state(), State::Closing);
            assert_eq!(connection.send_chunk(Chunk::new("third")), Err(SendError::Closed));
            assert_eq!(connection.send("other"), Err(SendError::Closed));
            let frames = sent(&mut connection);
            assert_eq!(frames.last(), Some(&Frame::close(1011, "a message was aborted")));
            assert!(
                frames.iter().all(|frame| !frame.fin || frame.opcode == wire::CLOSE),
                "the message never ends"
            );
            hear(&mut connection, &[Frame::close(1011, "")]);
            assert_eq!(connection.close_info().unwrap().cause, Cause::Close);
        }
    }
}

#[test]
fn aborting_before_the_first_chunk_was_accepted_keeps_the_connection_open() {
    for role in ROLES {
        let mut connection = full(role, Begun::Nothing);
        assert_eq!(connection.send_chunk(Chunk::new("first")), Err(SendError::BufferFull));
        connection.abort_message();
        written(&mut connection);
        connection.send_chunk(Chunk::last("another message")).unwrap();
        assert_eq!(sent(&mut connection), [Frame::text("another message")]);
    }
}

#[test]
fn aborting_nothing_changes_nothing() {
    for role in ROLES {
        let mut connection = open_with(role, |_| {});
        connection.abort_message();
        connection.send_chunk(Chunk::last("whole")).unwrap();
        connection.abort_message();
        assert_eq!((connection.state(), sent(&mut connection)), (State::Open, vec![Frame::text("whole")]));
        connection.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        connection.abort_message();
        assert_eq!(sent(&mut connection), [Frame::close(1000, "")]);
    }
}

#[test]
fn a_message_of_more_chunks_than_the_fragment_limit_arrives_in_chunks() {
    let mut sender = open_with(Role::Server, |_| {});
    let mut receiver = open_with(Role::Client, |config| {
        config.delivery = Delivery::Chunks;
        config.max_message_size = usize::MAX;
    });
    let (mut len, mut last) = (0, false);
    for number in 0..3200_u32 {
        // 200 MB in chunks of 64 KiB would have as many chunks. The size does not matter here.
        let payload = vec![7_u8; 64];
        sender.send_chunk(Chunk { payload: payload.into(), last: number == 3199 }).unwrap();
        let received = crate::support::receive(&mut receiver, &written(&mut sender));
        assert_eq!(received.error, None, "chunk {number}");
        for event in received.events {
            let Event::Chunk(chunk) = event else { panic!("{event:?}") };
            len += chunk.payload.len();
            last = chunk.last;
        }
    }
    assert_eq!((len, last), (3200 * 64, true));
}
