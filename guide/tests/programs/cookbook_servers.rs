//! The programs of the cookbook about servers. They contain their clients and choose a free port.

use ws_tests::bounded;

use crate::finish;

/// Creates a test from the name of a program and the lines that it prints.
macro_rules! prints {
    ($($test:ident: $program:literal [$($line:literal),*])*) => {
        $(#[test]
        fn $test() {
            bounded(|| assert_eq!(finish($program), [$($line),*]));
        })*
    };
}

prints! {
    the_most_specific_route_serves_a_path: "routes" [
        "the room café", "the lobby has a handler of its own", "the file 2026/report.pdf"
    ]
    a_check_refuses_with_401_and_passes_the_user: "authentication" [
        "hello, alice", "refused with status 401"
    ]
    a_first_message_can_carry_the_token: "first_message" [
        "hello, alice", "the connection was closed by the peer, code 1008 policy violation (no valid token)"
    ]
    the_server_prefers_its_own_order_of_subprotocols: "subprotocols" ["negotiated: Some(\"chat.v2\")", "version 2"]
    a_broadcast_reaches_all_or_some: "broadcasting" [
        "sent to 3 clients",
        "gold 4012.50, tick, for the oldest",
        "gold 4012.50, tick, for all but the oldest",
        "gold 4012.50, tick, for all but the oldest"
    ]
    a_message_goes_to_the_members_of_a_room: "rooms" [
        "alice: 1 in rust", "bob: 2 in rust", "alice: 2 in rust", "alice: hello, alice", "[(\"rust\", 2)]"
    ]
    a_silent_peer_is_detected: "keepalive" [
        "1 is gone: given up: the peer did not answer the pings of keepalive in time, code 1006 abnormal closure"
    ]
    a_read_timeout_leaves_the_connection_open: "timeouts" [
        "nothing for 100 ms, asking", "received: are you there?"
    ]
    an_upload_is_received_in_chunks: "streaming" ["50 %", "100 %", "received 52428800 bytes"]
    compression_can_be_switched_off_for_a_secret: "compression" [
        "negotiated: true", "12000 characters", "26 characters"
    ]
    handlers_and_callbacks_share_state: "sharing_state" ["rust: 1", "a voter, rust: 2"]
    a_thread_of_the_handler_sends: "sending_from_threads" ["echo, tick 1, tick 2, tick 3"]
    four_threads_run_the_tasks: "executor" ["echo"]
    values_are_exchanged_as_json: "json" ["you are in rust", "ok: false, the reason is given: true"]
    two_minutes_pass_at_once: "virtual_clock" [
        "after 7s: Message(Text(\"7 THE QUESTION\"))",
        "given up: the peer did not answer the pings of keepalive in time, code 1006 abnormal closure"
    ]
    each_connection_has_a_handle_to_the_state: "async_state" ["visit 1", "visit 2"]
    a_handler_is_tested_on_a_pair_of_streams: "handler_test" ["passed"]
    a_pool_of_threads_serves: "threads" ["echo"]
}

#[test]
fn a_foreign_origin_is_refused() {
    bounded(|| {
        let lines = finish("origin_check");
        assert_eq!(lines[0], "https://example.com: accepted");
        assert!(lines[1].contains("403 Forbidden") && lines[1].contains("https://evil.example"), "{lines:?}");
    });
}

#[test]
fn a_slow_consumer_loses_messages_and_its_queue_is_bounded() {
    bounded(|| {
        let lines = finish("slow_consumers");
        assert!(lines[0].starts_with("1 is slow: "), "{lines:?}");
        assert_eq!(lines.last().expect("a line"), "the queue is bounded: true");
    });
}
