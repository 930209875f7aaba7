//! The programs of the tour, ports 9100 to 9129.

use ws_tests::bounded;

use crate::{finish, serve};

#[test]
fn the_echo_client_talks_to_the_echo_server() {
    bounded(|| {
        let _server = serve("echo_server", 9100);
        assert_eq!(finish("echo_client"), ["received: Hello, WebSocket!"]);
    });
}
