//! Bytes that are queued during the handshake are sent after it, in any number.

use ws_core::Transmit;

use crate::support::{Authority, Ends};

#[test]
fn everything_that_is_queued_during_the_handshake_arrives() {
    let authority = Authority::new();
    let server = authority.identity(&["localhost"]).serving();
    for size in [1_usize, 64 << 10, (64 << 10) + 1, 66_000, 1 << 20] {
        for pieces in [1, 7] {
            let mut ends = Ends::new(authority.trusted(), server.clone()).unwrap();
            let request: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let mut output = Transmit::default();
            for piece in request.chunks(size.div_ceil(pieces)) {
                assert!(ends.client.is_handshaking());
                ends.client.encrypt_all(&mut &*piece, &mut output);
            }
            assert_eq!(ends.exchange(&mut output), [None, None]);
            assert!(ends.arrived[1] == request, "{size} bytes in {pieces} pieces");
        }
    }
}

#[test]
fn after_the_handshake_a_session_accepts_a_piece_at_a_time() {
    let authority = Authority::new();
    let server = authority.identity(&["localhost"]).serving();
    let mut ends = Ends::new(authority.trusted(), server).unwrap();
    let mut output = Transmit::default();
    ends.client.encrypt_all(&mut &[7; 100_000][..], &mut output);
    assert_eq!(ends.exchange(&mut output), [None, None]);
    let accepted = ends.client.encrypt(&vec![7; 1 << 20], &mut output);
    assert!(accepted > 0 && accepted <= 64 << 10, "{accepted}");
    ends.client.encrypt_all(&mut &vec![7; 1 << 20][..], &mut output);
    assert_eq!(ends.exchange(&mut output), [None, None]);
    assert_eq!(ends.arrived[1].len(), 100_000 + accepted + (1 << 20));
}
