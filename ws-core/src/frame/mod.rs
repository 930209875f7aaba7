//! The base framing protocol (RFC 6455 section 5): headers, opcodes, masking.
//!
//! A [`Connection`](crate::Connection) handles frames by itself. These types are public for applications that
//! inspect, generate or fuzz frames.

mod header;
mod mask;
mod opcode;

pub use header::{EncodedHeader, Header};
pub use mask::apply_mask;
pub use opcode::Opcode;

pub(crate) use mask::{extend_masked, rotate_key};
