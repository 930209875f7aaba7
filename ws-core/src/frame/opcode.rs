/// The kind of a frame (RFC 6455 section 5.2). The reserved values have no representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// The next fragment of the message in progress.
    Continuation = 0x0,
    /// The first, or only, frame of a text message.
    Text = 0x1,
    /// The first, or only, frame of a binary message.
    Binary = 0x2,
    /// The closing handshake.
    Close = 0x8,
    /// A request for a pong.
    Ping = 0x9,
    /// The answer to a ping, or an unsolicited sign of life.
    Pong = 0xA,
}

impl Opcode {
    /// Returns the opcode for the low four bits of a frame's first byte, or `None` for a reserved value.
    ///
    /// ```
    /// use ws_core::frame::Opcode;
    /// assert_eq!(Opcode::from_bits(0x1), Some(Opcode::Text));
    /// assert_eq!(Opcode::from_bits(0x3), None);
    /// ```
    #[must_use]
    #[inline]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xA => Some(Self::Pong),
            _ => None,
        }
    }

    /// Returns the opcode as one word, such as `text`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continuation => "continuation",
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Close => "close",
            Self::Ping => "ping",
            Self::Pong => "pong",
        }
    }

    /// Returns `true` if this is a Close, ping or pong. Control frames are never fragmented and have at most 125
    /// bytes of payload (RFC 6455 section 5.5).
    #[must_use]
    #[inline]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}
