//! Two ends, a network that delays, cuts and loses bytes, and arbitrary operations of both ends.

use std::{sync::Arc, time::Duration};

use arbitrary::{Arbitrary, Unstructured};
use ws_core::{
    Chunk, CloseCode, CloseInfo, Config, Connection, Event, Message, PreparedMessage, Role, SendError, State,
    testing::{Ending, Pair, ROLES, assembled, other, wire},
};

use crate::settings;

#[derive(Arbitrary, Debug)]
struct Conversation {
    settings: u8,
    compressed: bool,
    links: [Network; 2],
    operations: Vec<(Role, Operation)>,
    endings: Vec<(Role, Ending)>,
}

#[derive(Arbitrary, Debug)]
struct Network {
    delay: u8,
    pieces: Vec<u8>,
    loss: Option<(bool, u16)>,
    /// Bytes per second.
    bandwidth: Option<u16>,
    /// Number of buffered bytes at which the link refuses more.
    capacity: Option<u16>,
}

#[derive(Arbitrary, Debug)]
enum Operation {
    Send(Message<'static>),
    SendLong(u16),
    SendChunk(Chunk<'static>),
    SendPrepared(Message<'static>),
    Ping(u8),
    Pong(u8),
    Close(CloseCode, u8),
    Write(u16),
    Read(u16),
    Wait(u16),
    Settle,
    Release,
    Reply(Message<'static>),
    /// The driver takes the output into its own buffer. The bytes are in flight until they are written.
    Take,
    /// The driver writes bytes that it has taken.
    WriteTaken(u16),
    /// A buffering transport accepts bytes.
    Progress,
    /// Aborts the message that is being sent in chunks.
    Abort,
    /// The transport fails for writes.
    Discard,
}

/// Runs two ends under virtual time. Received messages equal the sent messages, no end reports an error of the other,
/// states only advance, refused calls change nothing, the accounts of output agree, and closing takes bounded time.
pub fn operations(data: &[u8]) {
    let Ok(conversation) = Conversation::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let mut watched = Watched::new(&conversation);
    for (role, operation) in conversation.operations.iter().take(200) {
        watched.apply(*role, operation);
    }
    watched.check_messages();
    watched.end(&conversation.endings);
}

struct Watched {
    pair: Pair,
    /// The messages that both ends have sent, the client's first. For a message in chunks, the part sent so far.
    sent: [Vec<Message<'static>>; 2],
    begun: [Option<Message<'static>>; 2],
    received: [Vec<Event<'static>>; 2],
    /// `true` if the server echoes each message.
    answers: bool,
}

impl Watched {
    fn new(conversation: &Conversation) -> Self {
        let mut config = Config::default();
        config.delivery = settings::config(conversation.settings).delivery;
        config.write_buffer_size = if conversation.settings & 1 == 0 { 64 << 10 } else { 1000 };
        if conversation.settings & 2 == 0 {
            config.keepalive = None;
        }
        if conversation.settings & 64 != 0 {
            config.max_sent_frame_size = 500;
        }
        let mut pair = if conversation.compressed {
            let config = settings::compressing(config, |deflate| {
                deflate.server_context_takeover = conversation.settings & 4 != 0;
                deflate.client_context_takeover = conversation.settings & 8 != 0;
            });
            settings::handshake(config.clone(), config)
        } else {
            Pair::open(Arc::new(config))
        };
        for (role, network) in ROLES.into_iter().zip(&conversation.links) {
            let pieces: Vec<_> = network.pieces.iter().map(|size| usize::from(*size)).collect();
            let link = pair.link(role).delay(Duration::from_millis(network.delay.into())).pieces(pieces);
            if let Some(bandwidth) = network.bandwidth {
                // On a link of few bytes per second a keepalive ping is always in flight, so the run would never
                // become idle.
                link.bandwidth(1024 + u64::from(bandwidth));
            }
            if let Some(capacity) = network.capacity {
                // A link with a tiny buffer moves single bytes. That costs the fuzzer time and finds nothing new.
                link.capacity(64 + usize::from(capacity));
            }
            match network.loss {
                Some((true, bytes)) => drop(link.reset_after(bytes.into())),
                Some((false, bytes)) => drop(link.silence_after(bytes.into())),
                None => {}
            }
        }
        let answers = conversation.settings & 16 != 0;
        Self { pair, sent: Default::default(), begun: [None, None], received: Default::default(), answers }
    }

    fn apply(&mut self, role: Role, operation: &Operation) {
        let before = ROLES.map(|role| Facts::of(&self.pair.end(role).connection));
        let refused = self.perform(role, operation).is_err();
        for (role, before) in ROLES.into_iter().zip(before) {
            let end = self.pair.end(role);
            let connection = &end.connection;
            before.check(&Facts::of(connection), refused);
            assert!(connection.buffered() <= end.in_flight() || connection.wants_write());
            assert!(!(connection.is_finished() && connection.wants_write()));
        }
        for role in ROLES {
            let end = self.pair.end(role);
            assert_eq!(end.error(), None, "{role:?} finds that the other end broke a rule");
            let events = end.take_events();
            if self.answers && role == Role::Server {
                for event in &events {
                    if let Event::Message(message) = event
                        && end.connection.reply(message).is_ok()
                    {
                        self.sent[role as usize].push(message.clone());
                    }
                }
            }
            self.received[role as usize].extend(events);
        }
    }

    fn perform(&mut self, role: Role, operation: &Operation) -> Result<(), SendError> {
        let index = role as usize;
        let connection = &mut self.pair.end(role).connection;
        match operation {
            Operation::Send(message) => {
                connection.send(message)?;
                self.sent[index].push(message.clone());
            }
            Operation::SendLong(len) => {
                let message = Message::from(vec![len.to_be_bytes()[1]; usize::from(*len)]);
                connection.send(message.clone())?;
                self.sent[index].push(message);
            }
            Operation::SendPrepared(message) => {
                connection.send_prepared(&PreparedMessage::new(message))?;
                self.sent[index].push(message.clone());
            }
            Operation::SendChunk(chunk) => {
                connection.send_chunk(chunk.clone())?;
                let begun = self.begun[index].take();
                let message = joined(begun, chunk.payload.clone());
                if chunk.last {
                    self.sent[index].push(message);
                } else {
                    self.begun[index] = Some(message);
                }
            }
            Operation::Ping(len) => connection.ping(&vec![0x42; usize::from(*len)])?,
            Operation::Pong(len) => connection.pong(&vec![0x42; usize::from(*len)])?,
            Operation::Close(code, len) => connection.close(*code, &"r".repeat(usize::from(*len)))?,
            Operation::Write(most) => drop(self.pair.write(role, usize::from(*most))),
            Operation::Read(most) => drop(self.pair.read(role, usize::from(*most))),
            Operation::Wait(millis) => self.pair.advance(Duration::from_millis(u64::from(*millis))),
            Operation::Settle => self.pair.run_until_idle(),
            Operation::Release => connection.shrink_to_fit(),
            Operation::Reply(message) => {
                connection.reply(message)?;
                self.sent[index].push(message.clone());
            }
            Operation::Take => self.pair.take(role),
            Operation::WriteTaken(most) => {
                let most = self.pair.end(role).in_flight().min(usize::from(*most));
                self.pair.write(role, most);
            }
            Operation::Progress => connection.note_progress(),
            Operation::Abort => {
                connection.abort_message();
                self.begun[index] = None;
            }
            Operation::Discard => self.pair.discard(role),
        }
        Ok(())
    }

    /// Checks that the received messages equal the sent ones in order. Some may still be in flight.
    fn check_messages(&self) {
        for role in ROLES {
            let received = assembled(self.received[role as usize].clone());
            let messages = received.iter().filter_map(|event| match event {
                Event::Message(message) => Some(message),
                _ => None,
            });
            let sent = &self.sent[other(role) as usize];
            for (at, message) in messages.enumerate() {
                assert_eq!(Some(message), sent.get(at), "message {at} to {role:?}");
            }
        }
    }

    /// Checks the end: both ends finish within the time for closing, and the output is valid.
    fn end(mut self, endings: &[(Role, Ending)]) {
        for (role, ending) in endings.iter().take(20) {
            ending.apply(&mut self.pair, *role);
        }
        for role in ROLES {
            let _ = self.pair.end(role).connection.close(CloseCode::NORMAL_CLOSURE, "");
            assert_ne!(self.pair.end(role).connection.state(), State::Open);
        }
        // A deadline for each of the three phases, one for pongs behind the Close, and a second for each 256 waiting
        // bytes. At most 8 KiB of pongs may join them.
        let waiting =
            ROLES.map(|role| self.pair.end(role).connection.buffered()).into_iter().max().unwrap_or(0);
        let flushing = Duration::from_secs((waiting + (16 << 10)).div_ceil(256) as u64 + 1);
        let limit = 4 * self.pair.client().config().close_timeout + flushing;
        self.pair.advance(limit);
        for role in ROLES {
            let end = self.pair.end(role);
            assert!(end.connection.is_finished(), "{role:?}: {:?}", end.connection);
            assert_eq!(end.connection.poll_timeout(), None);
            check_output(role, end.output(), end.connection.is_compression_negotiated());
        }
    }
}

fn joined(begun: Option<Message<'static>>, more: Message<'static>) -> Message<'static> {
    match (begun, more) {
        (None, more) => more,
        (Some(Message::Text(begun)), Message::Text(more)) => Message::from(begun.into_owned() + &more),
        (Some(begun), more) => Message::from([begun.into_bytes(), more.into_bytes()].concat()),
    }
}

/// The observable state of a connection.
struct Facts {
    state: State,
    close_info: Option<CloseInfo>,
    buffered: usize,
    written: u64,
}

impl Facts {
    fn of(connection: &Connection) -> Self {
        let (state, close_info) = (connection.state(), connection.close_info());
        assert_eq!(state == State::Open, close_info.is_none());
        assert_eq!(state == State::Closed, connection.is_finished());
        let (buffered, written) = (connection.buffered(), connection.total_written());
        assert_eq!(connection.total_queued(), written + buffered as u64);
        Self { state, close_info, buffered, written }
    }

    fn check(&self, after: &Self, refused: bool) {
        assert!(after.state as u8 >= self.state as u8, "a connection never opens again");
        assert!(after.written >= self.written, "what was written stays so");
        if self.state == State::Closed {
            assert_eq!(self.close_info, after.close_info, "a close_info is final");
        }
        if refused {
            assert_eq!((self.state, self.buffered), (after.state, after.buffered));
        }
    }
}

/// Checks that the output consists of valid frames with at most one Close, followed only by pongs (RFC 6455 5.5.2).
/// The last frame may be incomplete if the stream was cut.
fn check_output(role: Role, mut output: &[u8], compressed: bool) {
    let (mut closed, mut in_message) = (false, false);
    while let Some((frame, rest)) = wire::split_frame(output) {
        output = rest;
        assert!(!closed || frame.opcode == wire::PONG, "another frame than a pong behind a Close");
        assert_eq!(frame.key.is_some(), role == Role::Client);
        assert!(frame.rsv == 0 || (compressed && frame.rsv == 4 && matches!(frame.opcode, 1 | 2)));
        match frame.opcode {
            0 => assert!(in_message),
            1 | 2 => assert!(!in_message),
            _ => assert!(frame.fin && frame.payload.len() <= 125),
        }
        if frame.opcode < 8 {
            in_message = !frame.fin;
        }
        closed |= frame.opcode == wire::CLOSE;
    }
}
