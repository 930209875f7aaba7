use core::time::Duration;

use proptest::{collection::vec, prelude::*};

use super::{close_code, frame, role};
use crate::{Role, testing::Ending};

/// Creates an event that ends a connection, or that occurs while it ends.
pub fn ending() -> impl Strategy<Value = Ending> {
    let reason = || "[ -~ü]{0,60}";
    prop_oneof![
        4 => (close_code(), reason()).prop_map(|(code, reason)| Ending::Close(code, reason)),
        2 => (close_code(), reason()).prop_map(|(code, reason)| Ending::Fail(code, reason)),
        1 => Just(Ending::Eof),
        2 => (0..10_000_u64).prop_map(|millis| Ending::Wait(Duration::from_millis(millis))),
        2 => frame().prop_map(Ending::Receive),
    ]
}

/// Creates the end of a conversation: the events and the ends at which they occur, in order.
pub fn endings() -> impl Strategy<Value = Vec<(Role, Ending)>> {
    vec((role(), ending()), 1..6)
}
