//! Any order of calls is legal: no call panics, and the invariants of a connection hold after each call.

use bytes::Buf;
use proptest::{collection::vec, prelude::*};
use std::time::Duration;
use ws_core::{
    Chunk, CloseCode, CloseInfo, Config, Connection, Delivery, Keepalive, Message, PreparedMessage,
    ProtocolError, Role, SendError, State, Timestamp, Transmit,
};

use crate::support::{
    cases, connect, receive_pieces, split_at_close, strategies,
    wire::{self, PONG},
};

/// One call, or several calls that belong together.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Receive(Vec<u8>, Vec<usize>),
    Eof,
    /// Reports that this number of milliseconds has passed.
    Tell(u64),
    Send(Message<'static>),
    SendPrepared(usize),
    SendChunk(Message<'static>, bool),
    Ping(usize),
    Pong(usize),
    Close(u16, usize),
    Fail(u16, usize),
    /// Answers. An answer is never refused for lack of room.
    Reply(Message<'static>),
    Write(usize),
    /// Takes the output. It is in flight until it is written.
    Take,
    /// Writes this number of the bytes that were taken.
    WriteTaken(usize),
    /// The transport accepts no more bytes.
    Discard,
    /// A buffering transport has accepted bytes.
    Progress,
    /// Gives up the message that is being sent in chunks.
    Abort,
    /// Reports the time for the deadlines of output only.
    TellOutput(u64),
    Release,
}

pub(crate) fn any_call(role: Role) -> impl Strategy<Value = Call> {
    let message = || {
        prop_oneof![
            strategies::payload().prop_map(Message::from),
            strategies::any_text().prop_map(Message::from),
        ]
    };
    let code = || prop_oneof![8 => Just(1000), 4 => 3000..5000_u16, 1 => any::<u16>()];
    let reason = || prop_oneof![8 => 0..20_usize, 1 => 120..130_usize];
    prop_oneof![
        8 => (strategies::any_stream(role), strategies::cuts())
            .prop_map(|(bytes, cuts)| Call::Receive(bytes, cuts)),
        1 => Just(Call::Eof),
        6 => (0..40_000_u64).prop_map(Call::Tell),
        4 => message().prop_map(Call::Send),
        2 => strategies::len().prop_map(Call::SendPrepared),
        3 => (message(), any::<bool>()).prop_map(|(message, last)| Call::SendChunk(message, last)),
        2 => (0..130_usize).prop_map(Call::Ping),
        1 => (0..130_usize).prop_map(Call::Pong),
        1 => (code(), reason()).prop_map(|(code, reason)| Call::Close(code, reason)),
        1 => (code(), reason()).prop_map(|(code, reason)| Call::Fail(code, reason)),
        6 => (0..3000_usize).prop_map(Call::Write),
        3 => message().prop_map(Call::Reply),
        3 => Just(Call::Take),
        3 => (0..3000_usize).prop_map(Call::WriteTaken),
        1 => Just(Call::Discard),
        1 => Just(Call::Progress),
        1 => Just(Call::Abort),
        2 => (0..40_000_u64).prop_map(Call::TellOutput),
        1 => Just(Call::Release),
    ]
}

fn any_config() -> impl Strategy<Value = Config> {
    let keepalive = prop::option::of((0..20_000_u64, 0..20_000_u64, prop::option::of(0..4_u32)));
    let write_buffer_size = prop_oneof![Just(64 << 10), Just(usize::MAX), 0..300_usize];
    let max_sent_frame_size = prop_oneof![2 => Just(usize::MAX), 1 => 0..300_usize];
    let sending = (write_buffer_size, max_sent_frame_size);
    (strategies::limits(), keepalive, sending, any::<bool>(), 0..10_000_u64, any::<bool>()).prop_map(
        |(mut config, keepalive, sending, chunks, close_timeout, stalls)| {
            let millis = Duration::from_millis;
            config.keepalive = keepalive.map(|(interval, timeout, max_missed)| Keepalive {
                interval: millis(interval),
                timeout: millis(timeout),
                max_missed,
            });
            (config.write_buffer_size, config.max_sent_frame_size) = sending;
            config.delivery = if chunks { Delivery::Chunks } else { Delivery::Messages };
            config.close_timeout = millis(close_timeout);
            config.stall_timeout = config.stall_timeout.filter(|_| stalls);
            config
        },
    )
}

/// The state before a call.
struct Before {
    state: State,
    close_info: Option<CloseInfo>,
    finished: bool,
    buffered: usize,
    output: usize,
}

/// A connection, and the record of its behaviour.
struct Watched {
    connection: Connection,
    now: Duration,
    error: Option<ProtocolError>,
    /// Output that was taken and not written.
    driver: Transmit,
    output: Vec<u8>,
    /// `true` if the connection has dropped output that was not written.
    is_cut: bool,
}

impl Watched {
    fn new(role: Role, config: &std::sync::Arc<Config>) -> Self {
        let connection = connect(role, config);
        Self {
            connection,
            now: Duration::ZERO,
            error: None,
            driver: Transmit::default(),
            output: Vec::new(),
            is_cut: false,
        }
    }

    fn apply(&mut self, call: &Call) -> Result<(), SendError> {
        let connection = &mut self.connection;
        let (bytes, reason) = ([0x5A; 130], "r".repeat(130));
        match call {
            Call::Receive(bytes, sizes) => {
                let received = receive_pieces(connection, bytes, sizes);
                if let Some(error) = self.error {
                    // The error is permanent: every further call returns it.
                    assert_eq!(received.events, []);
                    assert!(bytes.is_empty() || received.error == self.error);
                    assert_eq!(connection.receive(&mut &mut [][..]), Err(error));
                }
                self.error = self.error.or(received.error);
            }
            Call::Eof => connection.receive_eof(),
            Call::Tell(pause) => {
                self.now += Duration::from_millis(*pause);
                // Reporting the same time again has no effect, so a driver does not spin.
                for ahead in [false, true] {
                    connection.handle_timeout(self.now.into());
                    let due =
                        connection.poll_timeout().map(Duration::from).filter(|_| !connection.is_finished());
                    assert!(due.is_none_or(|due| due >= self.now), "a deadline in the past");
                    assert!(due.is_none_or(|due| due > self.now || !ahead), "a deadline that stays");
                }
            }
            Call::Send(message) => connection.send(message)?,
            Call::SendPrepared(len) => connection.send_prepared(&PreparedMessage::new(vec![1; *len]))?,
            Call::SendChunk(payload, last) => {
                connection.send_chunk(Chunk { payload: payload.clone(), last: *last })?;
            }
            Call::Ping(len) => connection.ping(&bytes[..*len])?,
            Call::Pong(len) => connection.pong(&bytes[..*len])?,
            Call::Close(code, len) => connection.close(CloseCode::new(*code), &reason[..*len])?,
            Call::Fail(code, len) => connection.fail(CloseCode::new(*code), &reason[..*len])?,
            Call::Write(most) => {
                // The bytes that were taken are written first.
                if self.driver.has_remaining() {
                    return Ok(());
                }
                let mut buffer = connection.transmit();
                let most = buffer.remaining().min(*most);
                self.output.extend_from_slice(&buffer.copy_to_bytes(most));
            }
            Call::Reply(message) => connection.reply(message.clone())?,
            Call::Take => connection.take_transmit(&mut self.driver),
            Call::WriteTaken(most) => {
                let most = self.driver.remaining().min(*most);
                self.output.extend_from_slice(&self.driver.copy_to_bytes(most));
                connection.written(most);
            }
            Call::Discard => connection.discard_output(),
            Call::Progress => connection.note_progress(),
            Call::Abort => connection.abort_message(),
            Call::TellOutput(pause) => {
                self.now += Duration::from_millis(*pause);
                connection.handle_output_timeout(self.now.into());
            }
            Call::Release => connection.shrink_to_fit(),
        }
        Ok(())
    }

    fn before(&self) -> Before {
        let connection = &self.connection;
        Before {
            state: connection.state(),
            close_info: connection.close_info(),
            finished: connection.is_finished(),
            buffered: connection.buffered(),
            output: self.output.len(),
        }
    }

    /// Checks the invariants that hold after every call.
    fn check(&self, call: &Call, before: &Before, refused: bool) {
        let connection = &self.connection;
        let close_info = connection.close_info();
        assert!(connection.state() as u8 >= before.state as u8, "a connection never opens again: {call:?}");
        assert_eq!(connection.state() == State::Open, close_info.is_none(), "{call:?}");
        assert_eq!(connection.state() == State::Closed, connection.is_finished(), "{call:?}");
        if before.finished {
            assert!(connection.is_finished(), "what is finished stays so: {call:?}");
            assert_eq!(close_info, before.close_info, "a close_info is final: {call:?}");
            assert!(!connection.wants_read() && !connection.wants_write(), "{call:?}");
        }
        if refused {
            assert_eq!(connection.buffered(), before.buffered, "{call:?}");
            assert_eq!((connection.state(), &close_info), (before.state, &before.close_info), "{call:?}");
        }
        let in_flight = self.driver.remaining();
        assert!(connection.buffered() <= in_flight || connection.wants_write(), "{call:?}");
        let account = connection.total_queued() - connection.total_written();
        assert_eq!(account, connection.buffered() as u64, "{call:?}");
    }

    /// Checks the invariants of the whole output: valid frames, at most one Close, and only pongs after it (RFC 6455
    /// 5.5.2).
    fn check_output(mut self) {
        self.output.extend(self.driver.copy_to_bytes(self.driver.remaining()));
        self.output.extend(crate::support::written(&mut self.connection));
        if self.is_cut {
            return;
        }
        let frames = wire::frames(&self.output).unwrap();
        let (_, behind) = split_at_close(&frames);
        assert!(behind.iter().all(|frame| frame.opcode == PONG), "another frame than a pong behind a Close");
        let mut in_message = false;
        for frame in &frames {
            assert_eq!(frame.key.is_some(), self.connection.role() == Role::Client);
            assert_eq!(frame.rsv, 0);
            match frame.opcode {
                0 => assert!(in_message),
                1 | 2 => assert!(!in_message),
                _ => assert!(frame.fin && frame.payload.len() <= 125),
            }
            if frame.opcode < 8 {
                in_message = !frame.fin;
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(250))]

    // Invariant: with any calls in any order, no call panics, errors are permanent, ends are final, refused calls
    // change nothing, deadlines lie in the future, and the output is valid with at most one Close and only pongs
    // after it.
    #[test]
    fn whatever_is_called_in_any_order_the_promises_hold(
        (role, calls) in strategies::role().prop_flat_map(|role| (Just(role), vec(any_call(role), 1..40))),
        config in any_config(),
    ) {
        let mut watched = Watched::new(role, &std::sync::Arc::new(config));
        for call in &calls {
            let before = watched.before();
            let refused = watched.apply(call).is_err();
            watched.check(call, &before, refused);
            if watched.output.len() + watched.connection.buffered() < before.output + before.buffered {
                // The connection has given up its output.
                watched.driver.advance(usize::MAX);
                watched.is_cut = true;
            }
        }
        watched.check_output();
    }

    // Invariant: once a connection is closing, its deadlines end it, regardless of other calls: one deadline for each
    // phase, and one second more for each 256 bytes that wait.
    #[test]
    fn whatever_is_called_a_closing_connection_is_finished_in_bounded_time(
        (role, calls, more) in strategies::role().prop_flat_map(|role| {
            (Just(role), vec(any_call(role), 0..20), vec(any_call(role), 0..20))
        }),
        config in any_config(),
        end in prop_oneof![Just(Call::Eof), Just(Call::Close(1000, 0)), Just(Call::Fail(1000, 0))],
    ) {
        let close_timeout = config.close_timeout;
        let mut watched = Watched::new(role, &std::sync::Arc::new(config));
        for call in calls.iter().chain([&end]) {
            let _ = watched.apply(call);
        }
        if watched.connection.state() == State::Open {
            // The end of the stream waits behind kept input, which waits for replies to be written.
            watched.connection.discard_output();
        }
        prop_assert_ne!(watched.connection.state(), State::Open);
        watched.connection.handle_timeout(watched.now.into());
        let waiting = watched.connection.buffered();
        for call in &more {
            // Time passes only when the connection requests it.
            if !matches!(call, Call::Tell(_) | Call::TellOutput(_)) {
                let _ = watched.apply(call);
            }
        }
        // Pongs may have been added to the waiting bytes.
        let waiting = watched.connection.buffered().max(waiting);
        let ends = watched.now + 3 * close_timeout + Duration::from_secs(waiting.div_ceil(256) as u64 + 1);
        while let Some(due) = watched.connection.poll_timeout() {
            prop_assert!(Duration::from(due) <= ends, "{due} is after {ends:?}");
            prop_assert!(!watched.connection.is_finished() || due >= Timestamp::ZERO);
            watched.connection.handle_timeout(due);
        }
        prop_assert!(watched.connection.is_finished());
    }
}
