use std::{io, os::fd::OwnedFd};

use listenfd::ListenFd;

/// Returns the listening sockets that a service manager such as systemd has passed to this process (`LISTEN_FDS` and
/// `LISTEN_PID`), in the order of its configuration. A server takes one over with `bind_socket`. Returns no sockets if
/// the process was started in another way.
///
/// The first call takes the sockets and removes these variables, so every further call returns none. Call it before
/// other threads start, because changing the environment is not thread-safe on all systems.
///
/// # Errors
///
/// Returns an error if one of the file descriptors is not a stream socket of TCP or of the Unix domain.
pub fn inherited_sockets() -> io::Result<Vec<OwnedFd>> {
    let mut passed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for place in 0..passed.len() {
        let socket = match passed.take_tcp_listener(place) {
            Ok(listener) => listener.map(OwnedFd::from),
            Err(_) => passed.take_unix_listener(place)?.map(OwnedFd::from),
        };
        sockets.extend(socket);
    }
    Ok(sockets)
}
