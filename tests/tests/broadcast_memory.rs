//! Memory of a broadcast: one copy of the message, independent of the number of peers that keep up.

use allocation_counter::measure;
use ws_std::{Callbacks, Sessions};
use ws_tests::{
    Raw,
    either::{Adapter, Route, Server},
    eventually,
    wire::Frame,
    with_both_adapters,
};

with_both_adapters! {
    memory_for_a_broadcast_does_not_grow_with_the_subscribers_who_keep_up
}

/// Returns the peak of the memory during a broadcast to this number of peers, and the memory in use afterwards.
fn cost(adapter: Adapter, subscribers: usize) -> (u64, i64) {
    let everyone = Sessions::new();
    let callbacks = Callbacks::new().sessions(&everyone);
    let server = Server::new(adapter).mount("/", Route::callbacks(adapter, callbacks)).start();
    let mut clients = (0..subscribers).map(|_| Raw::open(server.address(), "/")).collect::<Vec<_>>();
    eventually("all are online", || everyone.len() == subscribers);
    // The first broadcast allocates the list of members.
    everyone.broadcast("ready");
    let text = "x".repeat(1024);
    let cost = measure(|| assert_eq!(everyone.broadcast(&*text), subscribers));
    for client in &mut clients {
        assert_eq!((client.frame(), client.frame()), (Frame::text("ready"), Frame::text(&text)));
    }
    (cost.bytes_max, cost.bytes_current)
}

fn memory_for_a_broadcast_does_not_grow_with_the_subscribers_who_keep_up(adapter: Adapter) {
    let (few, many) = (cost(adapter, 5), cost(adapter, 200));
    assert_eq!(few, many);
    assert!(few.0 < 4096 && few.1 == 0, "{few:?}");
}
