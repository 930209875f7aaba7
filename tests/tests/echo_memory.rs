//! Memory of replies: an echo loop does not allocate.

use std::thread;

use allocation_counter::measure;
use smol::block_on;
use ws_tests::{RawListener, either::Adapter, wire::Frame, with_both_adapters};

with_both_adapters! {
    messages_of_one_read_are_answered_without_an_allocation_for_each
}

const TOGETHER: usize = 100;
const ROUNDS: usize = 20;

/// Connects and echoes this number of messages twice. Returns the number of allocations in the second round.
fn answer(adapter: Adapter, url: &str, messages: usize) -> u64 {
    match adapter {
        Adapter::Std => {
            let mut ws = ws_std::connect(url).unwrap();
            let mut answer = || {
                for _ in 0..messages {
                    let message = ws.receive().unwrap().expect("a message");
                    ws.feed(message).unwrap();
                }
                ws.flush().unwrap();
            };
            answer();
            measure(answer).count_total
        }
        Adapter::Smol => {
            let mut ws = block_on(ws_smol::connect(url)).unwrap();
            let mut answer = || {
                block_on(async {
                    for _ in 0..messages {
                        let message = ws.receive().await.unwrap().expect("a message");
                        ws.feed(message).await.unwrap();
                    }
                    ws.flush().await.unwrap();
                });
            };
            answer();
            measure(answer).count_total
        }
    }
}

fn messages_of_one_read_are_answered_without_an_allocation_for_each(adapter: Adapter) {
    let server = RawListener::new();
    let url = server.url("/");
    let peer = thread::spawn(move || {
        let (mut raw, _) = server.open();
        for _ in 0..2 * ROUNDS {
            let pair =
                [Frame::text("question"), Frame::new(Frame::BINARY, "question")].map(|frame| frame.encode());
            raw.write(pair.concat().repeat(TOGETHER / 2));
            for _ in 0..TOGETHER {
                assert_eq!(raw.frame().payload, b"question");
            }
        }
        // Wait until the client has counted.
        let _ = raw.rest();
    });
    let allocations = answer(adapter, &url, ROUNDS * TOGETHER);
    assert!(allocations < (ROUNDS * TOGETHER / 10) as u64, "{allocations} allocations");
    peer.join().unwrap();
}
