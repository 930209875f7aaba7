//! Memory of rooms. The allocator counts for each thread, so the test joins and leaves in one thread.

use ws_std::{Callbacks, Rooms, Sessions};
use ws_tests::{
    Raw,
    either::{Adapter, Route, Server},
    eventually, with_both_adapters,
};

with_both_adapters! {
    rooms_that_all_have_left_keep_no_names
}

const ROOMS: usize = 20_000;

fn rooms_that_all_have_left_keep_no_names(adapter: Adapter) {
    let everyone = Sessions::new();
    let callbacks = Callbacks::new().sessions(&everyone);
    let server = Server::new(adapter).mount("/", Route::callbacks(adapter, callbacks)).start();
    let _raw = Raw::open(server.address(), "/");
    eventually("the session is there", || everyone.len() == 1);
    let (rooms, session) = (Rooms::new(), everyone.all()[0].clone());
    let name = |number| format!("a room with the number {number}");
    let memory = allocation_counter::measure(|| {
        for number in 0..ROOMS {
            rooms.join(&name(number), &session);
        }
        for number in 0..ROOMS {
            assert!(rooms.leave(&name(number), &session));
        }
    });
    // The session keeps a list with room for a pointer to each set that it was in at once.
    let kept = memory.bytes_current;
    assert!(kept < 16 * ROOMS as i64, "{kept} bytes for {ROOMS} empty rooms");
    assert!(rooms.all().is_empty());
}
