use core::{error::Error, fmt};

use crate::CloseCode;

/// A violation of the protocol by the peer. The connection has failed: a Close with [`close_code`](Self::close_code)
/// waits in [`transmit`](crate::Connection::transmit), and no more input is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit was set, and no negotiated extension uses it.
    ReservedBits,
    /// The opcode, contained here, is reserved.
    ReservedOpcode(u8),
    /// A Close, ping or pong was fragmented.
    FragmentedControlFrame,
    /// A Close, ping or pong had more than 125 bytes of payload.
    ControlFrameTooLong,
    /// The length of a payload was not in its shortest form.
    NonMinimalLength,
    /// The length of a payload had bit 63 set.
    LengthOverflow,
    /// A frame from a client was not masked.
    UnmaskedFrame,
    /// A frame from a server was masked.
    MaskedFrame,
    /// A continuation arrived while no message was in progress.
    UnexpectedContinuation,
    /// A new message began before the one in progress had ended.
    InterruptedMessage,
    /// A text message was not UTF-8.
    InvalidUtf8,
    /// A Close had a body of one byte.
    ClosePayloadTooShort,
    /// A Close had a code, contained here, that must not be sent.
    InvalidCloseCode(CloseCode),
    /// The reason in a Close was not UTF-8.
    InvalidCloseReason,
    /// A frame announced a payload larger than [`max_frame_size`](crate::Config::max_frame_size).
    FrameTooLarge {
        /// The announced length of its payload in bytes.
        size: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// A message is larger than [`max_message_size`](crate::Config::max_message_size), or there was no memory for
    /// more than a part of it.
    MessageTooLarge {
        /// Its size in bytes, including the last announced frame. If the message is too large only after
        /// decompression, this is one more than the limit.
        size: u64,
        /// The limit in bytes. If there was no memory, the size of the part.
        limit: usize,
    },
    /// A message had more fragments than [`max_fragments`](crate::Config::max_fragments).
    TooManyFragments {
        /// The maximum number of fragments.
        limit: usize,
    },
    /// A compressed message was not valid DEFLATE data, or ended too early.
    InvalidCompression,
    /// The decompressed size of a message exceeded its compressed size times the `max_ratio` of `Deflate`.
    CompressionRatio {
        /// The maximum ratio.
        limit: u32,
    },
}

impl ProtocolError {
    /// Returns the code of the Close that answers this error (RFC 6455 section 7.4.1).
    ///
    /// ```
    /// use ws_core::{CloseCode, ProtocolError};
    /// assert_eq!(ProtocolError::InvalidUtf8.close_code(), CloseCode::INVALID_FRAME_PAYLOAD_DATA);
    /// ```
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 | Self::InvalidCloseReason | Self::InvalidCompression => {
                CloseCode::INVALID_FRAME_PAYLOAD_DATA
            }
            Self::FrameTooLarge { .. } | Self::MessageTooLarge { .. } | Self::CompressionRatio { .. } => {
                CloseCode::MESSAGE_TOO_BIG
            }
            Self::TooManyFragments { .. } => CloseCode::POLICY_VIOLATION,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// Returns the section of RFC 6455 that contains the violated rule.
    #[must_use]
    pub const fn section(self) -> &'static str {
        match self {
            Self::ReservedBits | Self::ReservedOpcode(_) | Self::NonMinimalLength | Self::LengthOverflow => {
                "5.2"
            }
            Self::UnmaskedFrame | Self::MaskedFrame => "5.1",
            Self::FragmentedControlFrame | Self::ControlFrameTooLong => "5.5",
            Self::UnexpectedContinuation | Self::InterruptedMessage => "5.4",
            Self::InvalidUtf8 => "8.1",
            Self::InvalidCompression => "7.1.7",
            Self::ClosePayloadTooShort | Self::InvalidCloseReason => "5.5.1",
            Self::InvalidCloseCode(_) => "7.4",
            Self::FrameTooLarge { .. }
            | Self::MessageTooLarge { .. }
            | Self::CompressionRatio { .. }
            | Self::TooManyFragments { .. } => "10.4",
        }
    }

    /// Returns the reason of the Close that answers this error. It is short enough for a Close.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::ReservedBits => "frame with a reserved bit set that no extension uses",
            Self::ReservedOpcode(_) => "frame with a reserved opcode",
            Self::FragmentedControlFrame => "fragmented control frame",
            Self::ControlFrameTooLong => "control frame longer than 125 bytes",
            Self::NonMinimalLength => "frame whose payload length is not in its shortest form",
            Self::LengthOverflow => "frame whose payload length has bit 63 set",
            Self::UnmaskedFrame => "frame without a mask, which a client has to use",
            Self::MaskedFrame => "frame with a mask, which a server must not use",
            Self::UnexpectedContinuation => "continuation without a message in progress",
            Self::InterruptedMessage => "new message before the previous one ended",
            Self::InvalidUtf8 => "text message that is not valid UTF-8",
            Self::ClosePayloadTooShort => "Close with a payload of one byte",
            Self::InvalidCloseCode(_) => "Close with a code that must not be sent",
            Self::InvalidCloseReason => "Close with a reason that is not valid UTF-8",
            Self::FrameTooLarge { .. } => "frame too large",
            Self::MessageTooLarge { .. } => "message too large",
            Self::TooManyFragments { .. } => "message in too many fragments",
            Self::InvalidCompression => "compressed message that cannot be decompressed",
            Self::CompressionRatio { .. } => "message compressed beyond the limit",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer sent a {}", self.reason())?;
        match self {
            Self::ReservedOpcode(opcode) => write!(f, " ({opcode:#x})")?,
            Self::InvalidCloseCode(code) => write!(f, " ({})", code.get())?,
            Self::FrameTooLarge { size, limit } => {
                write!(f, " ({size} bytes, max_frame_size allows {limit})")?;
            }
            // The same error reports that there is no memory for the message.
            Self::MessageTooLarge { size, limit } => {
                write!(f, " ({size} bytes, max_message_size or the free memory allows {limit})")?;
            }
            Self::TooManyFragments { limit } => write!(f, " (max_fragments allows {limit})")?,
            Self::CompressionRatio { limit } => {
                write!(f, " (Deflate::max_ratio allows {limit} times the compressed size)")?;
            }
            _ => {}
        }
        write!(f, ", see RFC 6455 section {}", self.section())
    }
}

impl Error for ProtocolError {}

/// A call that the connection cannot carry out. The connection is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or closed. No more messages can be sent.
    Closed,
    /// [`buffered`](crate::Connection::buffered) has reached [`write_buffer_size`](crate::Config::write_buffer_size).
    /// Write the output in [`transmit`](crate::Connection::transmit), then send again.
    BufferFull,
    /// A message is being sent in chunks. End it with its last chunk first, or give it up with
    /// [`abort_message`](crate::Connection::abort_message).
    MessageInProgress,
    /// The chunk before this one was refused with [`BufferFull`](Self::BufferFull), so the message would have a hole.
    /// Send the refused chunk first, or give up the message with [`abort_message`](crate::Connection::abort_message).
    ChunkSkipped,
    /// The chunk is of another kind, text or binary, than the message in progress.
    WrongKind,
    /// The payload of a ping or pong exceeds 125 bytes. Contains its length in bytes.
    ControlPayloadTooLong(usize),
    /// A Close must not carry this code.
    InvalidCloseCode(CloseCode),
    /// The reason exceeds 123 bytes. Contains its length in bytes.
    CloseReasonTooLong(usize),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str(
                "cannot send: the connection is closing or closed, and another message needs a new connection",
            ),
            Self::BufferFull => f.write_str(
                "cannot send now: the peer reads too slowly, and write_buffer_size is reached; send again when the \
                 queued bytes are written",
            ),
            Self::MessageInProgress => f.write_str(
                "cannot begin a message: another one is being sent in chunks; send its last chunk first, or abort it",
            ),
            Self::ChunkSkipped => f.write_str(
                "cannot send this chunk: the one before it was refused; send that one again first, or abort the message",
            ),
            Self::WrongKind => f.write_str(
                "cannot mix text and binary chunks in one message: send all of its chunks as the same kind",
            ),
            Self::ControlPayloadTooLong(len) => {
                write!(f, "cannot send a ping or pong with {len} bytes: the maximum is 125 bytes")
            }
            Self::InvalidCloseCode(code) => write!(
                f,
                "cannot close with code {}: use 1000 to 1003, 1007 to 1014 or 3000 to 4999",
                code.get()
            ),
            Self::CloseReasonTooLong(len) => {
                write!(
                    f,
                    "cannot close with a reason of {len} bytes: the maximum is 123 bytes, and \
                     CloseFrame::truncate_reason cuts a longer one"
                )
            }
        }
    }
}

impl Error for SendError {}
