//! Strategies for `proptest`: input for an endpoint, and calls to make on it.
//!
//! ```
//! use proptest::prelude::*;
//! use ws_core::testing::{self, strategies};
//!
//! proptest! {
//!     // The boundaries at which the network splits the bytes have no meaning.
//!     # /*
//!     #[test]
//!     # */
//!     fn any_cutting_shows_the_same(
//!         (role, stream) in strategies::role_and_stream(),
//!         sizes in strategies::cuts(),
//!     ) {
//!         let [mut whole, mut cut] = [(); 2].map(|()| testing::connect(role, Default::default()));
//!         let received = testing::receive(&mut whole, &stream);
//!         prop_assert_eq!(testing::receive_pieces(&mut cut, &stream, &sizes), received);
//!     }
//! }
//! # any_cutting_shows_the_same();
//! ```

mod ending;
mod frames;
mod handshake;

use proptest::{collection::vec, prelude::*, sample::Index};

pub use self::{
    ending::{ending, endings},
    frames::{any_frames, any_stream, frame, header, legal_frames, role_and_stream},
    handshake::{head, request, response},
};
use crate::{CloseCode, Config, Message, Role};

/// Creates a role.
pub fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

/// Creates lengths around all limits of the length field. Most of them are small.
pub fn len() -> impl Strategy<Value = usize> {
    prop_oneof![
        20 => 0_usize..40,
        6 => 120_usize..135,
        4 => 135_usize..5000,
        1 => 65530_usize..65540,
    ]
}

/// Creates bytes of such a length.
pub fn payload() -> impl Strategy<Value = Vec<u8>> {
    len().prop_flat_map(|len| vec(any::<u8>(), len))
}

/// Creates text with characters of all widths.
pub fn any_text() -> impl Strategy<Value = String> {
    let character =
        prop_oneof![4 => prop::char::range(' ', '~'), 3 => any::<char>(), 1 => Just('\u{10FFFF}')];
    let short = vec(character, 0..50).prop_map(String::from_iter);
    // Long enough for the vectorised validation.
    prop_oneof![4 => short.clone(), 1 => (short, 2..20_usize).prop_map(|(text, times)| text.repeat(times))]
}

/// Creates bytes that are often nearly UTF-8.
pub fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
    let interesting = prop::sample::select(vec![
        0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEE, 0xEF,
        0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
    ]);
    let part = prop_oneof![
        3 => any::<char>().prop_map(|character| character.to_string().into_bytes()),
        1 => any_text().prop_map(String::into_bytes),
        1 => vec(interesting, 1..4),
        1 => (any::<char>(), any::<Index>()).prop_map(|(character, at)| {
            let bytes = character.to_string().into_bytes();
            bytes[..at.index(bytes.len())].to_vec()
        }),
    ];
    vec(part, 0..6).prop_map(|parts| parts.concat())
}

/// Creates sizes of pieces for [`receive_pieces`](super::receive_pieces) and [`Link::pieces`](super::Link::pieces).
pub fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), vec(1..4_usize, 1..6), vec(1..40_usize, 1..6), vec(1..3000_usize, 1..6)]
}

/// Creates a message, text or binary.
pub fn message() -> impl Strategy<Value = Message<'static>> {
    prop_oneof![payload().prop_map(Message::from), any_text().prop_map(Message::from)]
}

/// Creates a code that a Close may carry.
pub fn close_code() -> impl Strategy<Value = CloseCode> {
    prop_oneof![
        4 => Just(1000), 2 => 1001..=1003_u16, 2 => 1007..=1014_u16, 2 => 3000..=4999_u16
    ]
    .prop_map(CloseCode::new)
}

/// Creates configurations with limits that are reached in some cases.
pub fn limits() -> impl Strategy<Value = Config> {
    let size = || prop_oneof![3 => Just(usize::MAX), 2 => 0..200_usize];
    let fragments = prop_oneof![2 => Just(1024), 1 => 0..5_usize];
    (size(), size(), fragments).prop_map(|(message, frame, fragments)| Config {
        max_message_size: message,
        max_frame_size: frame,
        max_fragments: fragments,
        ..Config::default()
    })
}
