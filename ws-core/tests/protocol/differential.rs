//! Differential tests of the core against the reference decoder: the same events and the same result for any stream.

use std::sync::Arc;

use proptest::prelude::*;
use ws_core::{Config, Role};

use crate::support::{cases, connect, receive, reference, strategies, wire::frames};

/// Checks that the core and the reference agree about a stream.
fn compare(receiver: Role, limits: Config, stream: &[u8]) -> Result<(), TestCaseError> {
    let (events, code) = reference::decode(stream, receiver, &limits);
    let mut connection = connect(receiver, &Arc::new(limits));
    let received = receive(&mut connection, stream);
    prop_assert_eq!(&received.events, &events);
    prop_assert_eq!(received.error.map(|error| error.close_code().get()), code);
    // RFC 6455 7.1.7: a protocol error is answered with a Close that contains its code.
    if let Some(code) = code {
        let output = frames(&crate::support::written(&mut connection)).unwrap();
        let close = output.last().map(|frame| frame.payload[..2].to_vec());
        prop_assert_eq!(close, Some(code.to_be_bytes().to_vec()));
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(1500))]

    // Invariant: for every stream and role, events and close code are those of the reference.
    #[test]
    fn every_stream_means_what_the_reference_says((role, stream) in strategies::role_and_stream()) {
        compare(role, Config::default(), &stream)?;
    }

    // Invariant: the same holds for all limits.
    #[test]
    fn every_stream_means_the_same_under_any_limits(
        (role, stream) in strategies::role_and_stream(),
        limits in strategies::limits(),
    ) {
        compare(role, limits, &stream)?;
    }
}

proptest! {
    #![proptest_config(cases(3000))]

    // Invariant: for short noise, which is mostly headers, the core and the reference have the same result.
    #[test]
    fn noise_means_what_the_reference_says(
        role in strategies::role(),
        noise in prop::collection::vec(any::<u8>(), 0..24),
    ) {
        compare(role, Config::default(), &noise)?;
    }
}

proptest! {
    #![proptest_config(cases(400))]

    // Invariant: legal frames cause no error, in the core or in the reference.
    #[test]
    fn legal_frames_are_received_without_an_error(
        role in strategies::role(),
        frames in strategies::legal_frames(),
    ) {
        let stream = crate::support::wire::stream(role, &frames);
        prop_assert_eq!(reference::decode(&stream, role, &Config::default()).1, None);
        compare(role, Config::default(), &stream)?;
    }
}
