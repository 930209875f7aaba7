//! Generated conversations: valid frames with at most one peculiarity.

use ws_std::ws_core::Role;
use ws_tests::wire::Frame;

use crate::{
    judges::{End, Said},
    seed::Seed,
};

/// Maximum message size in bytes that all implementations are configured with.
pub(crate) const LIMIT: usize = 4096;

/// The input of one end.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    /// Role of the receiving end.
    pub(crate) role: Role,
    pub(crate) kind: Kind,
    /// The sent frames. Concatenated, they are the stream.
    pub(crate) pieces: Vec<Vec<u8>>,
    /// The expected end.
    pub(crate) end: End,
    /// The messages that an implementation without the check would deliver.
    pub(crate) tolerated: Option<Said>,
}

macro_rules! kinds {
    ($($(#[$about:meta])* $kind:ident,)*) => {
        /// The peculiarity of a conversation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Kind {
            $($(#[$about])* $kind,)*
        }

        impl Kind {
            pub(crate) const ALL: [Self; [$(Self::$kind),*].len()] = [$(Self::$kind),*];
        }
    };
}

kinds! {
    /// None: it obeys every rule and does not end.
    Legal,
    /// A Close with a code that RFC 6455 registers or reserves for applications, or without a code.
    LegalClose,
    /// A Close with 1012 or 1013, which were registered later.
    LaterClose,
    /// A Close with 1014, which was registered last.
    LastClose,
    /// A Close between the fragments of a message.
    CloseInMessage,
    /// A Close of one byte.
    CloseOfOneByte,
    /// A Close with a code that must not be sent.
    ForbiddenCode,
    /// A Close with an unregistered code.
    UnregisteredCode,
    /// A Close with a reason that is not UTF-8.
    ReasonNotUtf8,
    /// An unmasked frame of a client, or a masked frame of a server.
    WrongMask,
    /// A reserved bit in a text, a binary message, a ping or a Close.
    ReservedBit,
    /// A reserved bit in a continuation.
    ReservedBitLater,
    ReservedOpcode,
    ReservedControlOpcode,
    ControlInFragments,
    LongControl,
    ContinuationOfNothing,
    InterruptedMessage,
    /// A non-minimal length: 7 bits in 16 or 64, or 16 bits in 64.
    LongLength,
    /// A length of more than 63 bits.
    HighestBit,
    /// A whole text that is not UTF-8.
    NotUtf8,
    /// A text that ends within a character.
    CutCharacter,
    /// A fragment of text with invalid UTF-8 whose message continues.
    NotUtf8InFragment,
    /// An incomplete frame of text with invalid UTF-8.
    NotUtf8InPart,
    /// A frame above the size limit, of which only the header arrives.
    LargeHeader,
    /// A frame above the size limit, of which the header and one byte of the payload arrive.
    LargeFrame,
    /// Fragments with a total above the size limit.
    LargeMessage,
    ManyFragments,
    /// An incomplete frame.
    CutFrame,
}

impl Kind {
    /// Returns `true` if more frames may follow. They may not where an implementation would take them for a part of
    /// the invalid bytes.
    fn goes_on(self) -> bool {
        let open = [
            Self::LongLength,
            Self::NotUtf8InPart,
            Self::LargeHeader,
            Self::LargeMessage,
            Self::ManyFragments,
        ];
        !open.contains(&self)
    }
}

impl Case {
    /// Returns the conversation with this number.
    pub(crate) fn new(seed: &mut Seed, role: Role, number: u64) -> Self {
        let kind = seed.one_of(&Kind::ALL);
        let mut talk = Talk { seed, role, pieces: Vec::new(), tolerated: None };
        for _ in 0..talk.seed.below(5) {
            talk.legal();
        }
        let end = talk.special(kind);
        // Frames after the end of the conversation have no effect.
        if end != End::Open && kind.goes_on() {
            for _ in 0..talk.seed.below(3) {
                talk.legal();
            }
        }
        Self { seed: number, role, kind, pieces: talk.pieces, end, tolerated: talk.tolerated }
    }
}

struct Talk<'s> {
    seed: &'s mut Seed,
    role: Role,
    pieces: Vec<Vec<u8>>,
    tolerated: Option<Said>,
}

impl Talk<'_> {
    /// Returns a frame as the other end sends it.
    fn encoded(&mut self, frame: Frame) -> Vec<u8> {
        match self.role {
            Role::Server => {
                let key = self.seed.bytes(4).try_into().ok();
                Frame { mask: key, ..frame }.encode()
            }
            Role::Client => frame.encode(),
        }
    }

    fn say(&mut self, frame: Frame) {
        let bytes = self.encoded(frame);
        self.pieces.push(bytes);
    }

    /// Returns random bytes for a payload: any length below the limit, preferably at the borders of the length field.
    fn binary(&mut self) -> Vec<u8> {
        let len = match self.seed.below(8) {
            0 => 120 + self.seed.below(10),
            1 => self.seed.below(LIMIT + 1),
            _ => self.seed.below(40),
        };
        self.seed.bytes(len)
    }

    fn text(&mut self) -> Vec<u8> {
        let len = if self.seed.once_in(6) { 300 } else { 12 };
        let len = self.seed.below(len);
        self.seed.text(len).into_bytes()
    }

    fn sign_of_life(&mut self) {
        let opcode = self.seed.one_of(&[Frame::PING, Frame::PONG]);
        let len = self.seed.one_of(&[0, 1, 20, 125]);
        let payload = self.seed.bytes(len);
        self.say(Frame::new(opcode, payload));
    }

    /// Appends a message, whole or in fragments that may split characters, with control frames in between, or only
    /// control frames.
    fn legal(&mut self) {
        if self.seed.once_in(4) {
            return self.sign_of_life();
        }
        let (opcode, payload) = match self.seed.once_in(2) {
            true => (Frame::TEXT, self.text()),
            false => (Frame::BINARY, self.binary()),
        };
        let count = 1 + self.seed.below(4) * usize::from(self.seed.once_in(2));
        let mut cuts: Vec<usize> = (1..count).map(|_| self.seed.below(payload.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(payload.len());
        let mut start = 0;
        for (at, &cut) in cuts.iter().enumerate() {
            let opcode = if at == 0 { opcode } else { Frame::CONTINUATION };
            let frame = Frame::new(opcode, &payload[start..cut]);
            self.say(if at + 1 == count { frame } else { frame.unfinished() });
            if at + 1 < count && self.seed.once_in(3) {
                self.sign_of_life();
            }
            start = cut;
        }
    }

    /// Returns a frame with additional bits in its first byte.
    fn say_with(&mut self, bits: u8, frame: Frame) {
        let mut bytes = self.encoded(frame);
        bytes[0] |= bits;
        self.pieces.push(bytes);
    }

    /// Returns a frame with a length field of this number of bytes.
    fn say_long(&mut self, len: u64, len_size: usize, payload: &[u8]) {
        let mask = u8::from(self.role == Role::Server) << 7;
        let mut bytes = vec![0x82, mask | if len_size == 2 { 126 } else { 127 }];
        bytes.extend(&len.to_be_bytes()[8 - len_size..]);
        // A masking key of zeros leaves the payload unchanged.
        bytes.extend(vec![0; usize::from(mask >> 7) * 4]);
        bytes.extend(payload);
        self.pieces.push(bytes);
    }

    /// Returns valid UTF-8 followed by bytes that make it invalid.
    fn not_utf8(&mut self) -> Vec<u8> {
        let wrong: &[u8] = self.seed.one_of(&[
            &[0xFF],
            &[0x80],
            &[0xC0, 0xAF],
            &[0xED, 0xA0, 0x80],
            &[0xF4, 0x90, 0x80, 0x80],
            &[0xE2, 0x82, 0x20],
        ]);
        [&self.text(), wrong].concat()
    }

    /// Appends the peculiarity of this kind, and returns the expected end.
    fn special(&mut self, kind: Kind) -> End {
        let registered = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
        let data = self.seed.one_of(&[Frame::TEXT, Frame::BINARY]);
        let refused = End::Failed(1002);
        match kind {
            Kind::Legal => End::Open,
            Kind::LegalClose if self.seed.once_in(4) => {
                self.say(Frame::new(Frame::CLOSE, []));
                End::Closed(None)
            }
            Kind::LegalClose => self.close(&registered),
            Kind::LaterClose => self.close(&[1012, 1013]),
            Kind::LastClose => self.close(&[1014]),
            Kind::CloseInMessage => {
                self.say(Frame::new(data, "begun").unfinished());
                self.close(&registered)
            }
            Kind::CloseOfOneByte => self.refused(Frame::new(Frame::CLOSE, [3])),
            Kind::ForbiddenCode => {
                self.close(&[0, 1, 999, 1004, 1005, 1006, 1015, 5000, 65535]);
                refused
            }
            Kind::UnregisteredCode => {
                self.close(&[1016, 1100, 1999, 2000, 2500, 2999]);
                refused
            }
            Kind::ReasonNotUtf8 => {
                let mut body = vec![3, 232];
                let wrong = self.not_utf8();
                // An incomplete character at the end leaves it invalid.
                body.extend(&wrong[wrong.len().saturating_sub(60)..]);
                self.say(Frame::new(Frame::CLOSE, body));
                End::Failed(1007)
            }
            Kind::WrongMask => {
                let frame = Frame::new(data, "wrong");
                self.pieces.push(match self.role {
                    Role::Server => frame.encode(),
                    Role::Client => frame.masked().encode(),
                });
                refused
            }
            Kind::ReservedBit => {
                let frame = match self.seed.below(4) {
                    0 => Frame::new(Frame::PING, "x"),
                    1 => Frame::close(1000, ""),
                    _ => Frame::new(data, "x"),
                };
                let bits = 0x10 * (1 + self.seed.below(7) as u8);
                self.say_with(bits, frame);
                refused
            }
            Kind::ReservedBitLater => {
                self.say(Frame::new(data, "x").unfinished());
                let bits = 0x10 * (1 + self.seed.below(7) as u8);
                self.say_with(bits, Frame::new(Frame::CONTINUATION, "x"));
                refused
            }
            Kind::ReservedOpcode => {
                let opcode = 3 + self.seed.below(5) as u8;
                self.refused(Frame::new(opcode, "x"))
            }
            Kind::ReservedControlOpcode => {
                let opcode = 11 + self.seed.below(5) as u8;
                self.refused(Frame::new(opcode, "x"))
            }
            Kind::ControlInFragments => {
                let opcode = self.seed.one_of(&[Frame::PING, Frame::PONG, Frame::CLOSE]);
                self.refused(Frame::new(opcode, []).unfinished())
            }
            Kind::LongControl => {
                let opcode = self.seed.one_of(&[Frame::PING, Frame::PONG]);
                let len = 126 + self.seed.below(300);
                self.refused(Frame::new(opcode, vec![b'x'; len]))
            }
            Kind::ContinuationOfNothing => {
                let frame = Frame::new(Frame::CONTINUATION, "x");
                let is_last = self.seed.once_in(2);
                self.refused(if is_last { frame } else { frame.unfinished() })
            }
            Kind::InterruptedMessage => {
                self.say(Frame::new(data, "begun").unfinished());
                let frame = Frame::new(data, "another");
                let is_last = self.seed.once_in(2);
                self.refused(if is_last { frame } else { frame.unfinished() })
            }
            Kind::LongLength => {
                let len_size = self.seed.one_of(&[2, 8]);
                let len = self.seed.below(if len_size == 2 { 126 } else { LIMIT });
                let payload = self.seed.bytes(len);
                self.say_long(len as u64, len_size, &payload);
                self.tolerated = Some(Said::Binary(payload));
                refused
            }
            Kind::HighestBit => {
                let len = u64::MAX - self.seed.below(1000) as u64;
                self.say_long(len, 8, b"x");
                refused
            }
            Kind::NotUtf8 | Kind::NotUtf8InFragment => {
                let frame = Frame::new(Frame::TEXT, self.not_utf8());
                self.say(if kind == Kind::NotUtf8 { frame } else { frame.unfinished() });
                if kind == Kind::NotUtf8InFragment {
                    self.say(Frame::new(Frame::PING, "late"));
                    self.say(Frame::new(Frame::CONTINUATION, "and so on"));
                    self.tolerated = Some(Said::Ping(b"late".to_vec()));
                }
                End::Failed(1007)
            }
            Kind::CutCharacter => {
                let cut: &[u8] = self.seed.one_of(&[&[0xC3], &[0xE2, 0x82], &[0xF0, 0x9F, 0x98]]);
                let text = [&self.text(), cut].concat();
                self.say(Frame::new(Frame::TEXT, text));
                End::Failed(1007)
            }
            Kind::NotUtf8InPart => {
                let text = [&self.not_utf8()[..], b"and so on"].concat();
                let mut bytes = self.encoded(Frame::new(Frame::TEXT, text));
                bytes.truncate(bytes.len() - 5);
                self.pieces.push(bytes);
                End::Failed(1007)
            }
            Kind::LargeHeader | Kind::LargeFrame => {
                let payload: &[u8] = if kind == Kind::LargeFrame { b"x" } else { b"" };
                let len = self.seed.one_of(&[LIMIT as u64 + 1, 1 << 17, 1 << 40, 1 << 62]);
                self.say_long(len, if len < 65536 { 2 } else { 8 }, payload);
                End::Failed(1009)
            }
            Kind::LargeMessage => {
                let size = LIMIT - self.seed.below(100);
                self.say(Frame::new(Frame::BINARY, vec![b'x'; size]).unfinished());
                self.say(Frame::new(Frame::CONTINUATION, vec![b'x'; LIMIT + 1 - size]));
                self.tolerated = Some(Said::Binary(vec![b'x'; LIMIT + 1]));
                End::Failed(1009)
            }
            Kind::ManyFragments => {
                self.say(Frame::new(data, "").unfinished());
                let fragment = self.encoded(Frame::new(Frame::CONTINUATION, "x").unfinished());
                self.pieces.extend(vec![fragment; 1024]);
                End::Failed(1008)
            }
            Kind::CutFrame => {
                let frame = Frame::new(self.seed.one_of(&[data, Frame::PING, Frame::CLOSE]), "x".repeat(30));
                let mut bytes = self.encoded(frame);
                bytes.truncate(1 + self.seed.below(bytes.len() - 1));
                self.pieces.push(bytes);
                End::Open
            }
        }
    }

    fn refused(&mut self, frame: Frame) -> End {
        self.say(frame);
        End::Failed(1002)
    }

    fn close(&mut self, codes: &[u16]) -> End {
        let code = self.seed.one_of(codes);
        let reason = if self.seed.once_in(2) { self.seed.text(10) } else { String::new() };
        self.say(Frame::close(code, &reason));
        End::Closed(Some(code))
    }
}
