//! Codecs that connections without context share.

use allocation_counter::measure;
use ws_core::{Chunk, Connection, frame::Opcode};

use super::{compressing, drain, masked, receive, server_for_offer};

/// Creates servers for more clients than the pool has places.
fn servers(offer: &str, config: &std::sync::Arc<ws_core::Config>) -> Vec<Connection> {
    (0..20).map(|_| server_for_offer(offer, config).0).collect()
}

#[test]
fn compressors_of_the_first_window_sizes_do_not_fill_the_pool() {
    let config = compressing(|_, _| {});
    let mut first = servers("permessage-deflate; server_max_window_bits=9", &config);
    // All at the same time, so that each needs a codec of its own.
    for chunk in [Chunk::new("begun "), Chunk::last("and ended")] {
        for server in &mut first {
            server.send_chunk(chunk.clone()).unwrap();
            drain(&mut server.transmit());
        }
    }
    let (mut server, _) = server_for_offer("permessage-deflate", &config);
    let mut send = || {
        server.send("a".repeat(1000)).unwrap();
        drain(&mut server.transmit());
    };
    send();
    let cost = measure(send);
    assert!(cost.bytes_max < 16 << 10, "{} bytes for a compressor", cost.bytes_max);
}

#[test]
fn inflaters_of_the_first_window_sizes_do_not_fill_the_pool() {
    let config = compressing(|_, deflate| deflate.client_context_takeover = false);
    let mut first = servers("permessage-deflate; client_max_window_bits=9", &config);
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    for frame in [
        masked(Opcode::Text, false, true, &hello[..3]),
        masked(Opcode::Continuation, true, false, &hello[3..]),
    ] {
        for server in &mut first {
            receive(server, &frame, usize::MAX).unwrap();
        }
    }
    let (mut server, _) = server_for_offer("permessage-deflate", &config);
    let frame = masked(Opcode::Text, true, true, &hello);
    receive(&mut server, &frame, usize::MAX).unwrap();
    let cost = measure(|| drop(receive(&mut server, &frame, usize::MAX).unwrap()));
    assert!(cost.bytes_max < 20 << 10, "{} bytes for an inflater", cost.bytes_max);
}
