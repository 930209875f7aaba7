use core::{error::Error, fmt};

use crate::CloseCode;

/// The peer broke a rule of the protocol. The connection has failed: a Close with
/// [`close_code`](Self::close_code) waits in [`transmit`](crate::Connection::transmit), and nothing more
/// is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit was set that no negotiated extension gives a meaning.
    ReservedBits,
    /// The opcode, given here, is reserved.
    ReservedOpcode(u8),
    /// A close, ping or pong was not in one frame.
    FragmentedControlFrame,
    /// A close, ping or pong had more than 125 bytes.
    ControlFrameTooLong,
    /// A payload's length was not in its shortest form.
    NonMinimalLength,
    /// A payload's length had bit 63 set.
    LengthOverflow,
    /// A client's frame was not masked.
    UnmaskedFrame,
    /// A server's frame was masked.
    MaskedFrame,
    /// A continuation came while no message was in progress.
    UnexpectedContinuation,
    /// A new message came before the one in progress had ended.
    InterruptedMessage,
    /// A text message was not UTF-8.
    InvalidUtf8,
    /// A Close had a body of one byte.
    ClosePayloadTooShort,
    /// A Close had a code, given here, that must not be sent.
    InvalidCloseCode(CloseCode),
    /// The reason in a Close was not UTF-8.
    InvalidCloseReason,
    /// A frame was announced that is larger than [`max_frame_size`](crate::Config::max_frame_size).
    FrameTooLarge {
        /// The announced length of its payload, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: usize,
    },
    /// A message was announced that is larger than [`max_message_size`](crate::Config::max_message_size), or there was no
    /// memory for more than a part of it.
    MessageTooLarge {
        /// Its size up to and with the frame announced last, in bytes; of one that is too large only when it is
        /// inflated, one more than the limit.
        size: u64,
        /// The limit, in bytes; without memory, the size of the part.
        limit: usize,
    },
    /// A message came in more fragments than [`max_fragments`](crate::Config::max_fragments).
    TooManyFragments {
        /// The limit.
        limit: usize,
    },
    /// A compressed message was not DEFLATE data, or ended too early.
    InvalidCompression,
    /// A compressed message inflated to more than `max_ratio` of `Deflate` times its size.
    CompressionRatio {
        /// The limit.
        limit: u32,
    },
}

impl ProtocolError {
    /// The code of the Close that answers this error (RFC 6455 section 7.4.1).
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

    /// The section of RFC 6455 that holds the broken rule.
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

    /// The reason of the Close that answers this error; short enough for one.
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

/// The application asked a connection for what it cannot do. The connection is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or closed; nothing can be sent any more.
    Closed,
    /// [`buffered`](crate::Connection::buffered) has reached
    /// [`write_buffer_size`](crate::Config::write_buffer_size): write what
    /// [`transmit`](crate::Connection::transmit) holds, then try again.
    BufferFull,
    /// A message is being sent in chunks. End it with its last chunk first, or give it up with
    /// [`abort_message`](crate::Connection::abort_message).
    MessageInProgress,
    /// The chunk before this one was refused with [`BufferFull`](Self::BufferFull), so the message would have a hole.
    /// Send the refused chunk first, or give the message up with
    /// [`abort_message`](crate::Connection::abort_message).
    ChunkSkipped,
    /// The chunk is not of the kind, text or binary, of the message in progress.
    WrongKind,
    /// The payload of a ping or pong, of this length in bytes, exceeds 125 bytes.
    ControlPayloadTooLong(usize),
    /// The code is not one that a Close may carry.
    InvalidCloseCode(CloseCode),
    /// The reason, of this length in bytes, exceeds 123 bytes.
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
