//! `TCP_NODELAY` of the sockets of clients and servers.

use std::{fs, net::SocketAddr};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use socket2::Socket;
use ws_tests::{
    Raw, RawListener,
    either::{Adapter, Client, Route, Server},
    eventually, with_both_adapters,
};

with_both_adapters! {
    a_server_sets_nodelay_unless_it_is_told_otherwise
    a_client_sets_nodelay_unless_it_is_told_otherwise
}

/// Returns `TCP_NODELAY` of the socket of this process between these addresses.
fn nodelay(local: SocketAddr, peer: SocketAddr) -> Option<bool> {
    let process = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let numbers = fs::read_dir("/proc/self/fd").unwrap();
    let numbers = numbers.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    numbers.collect::<Vec<i32>>().into_iter().find_map(|number| {
        let socket: Socket = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok()?.into();
        let is_meant =
            socket.local_addr().ok()?.as_socket()? == local && socket.peer_addr().ok()?.as_socket()? == peer;
        is_meant.then(|| socket.tcp_nodelay().unwrap())
    })
}

fn a_server_sets_nodelay_unless_it_is_told_otherwise(adapter: Adapter) {
    for (change, expected) in [(None, true), (Some(true), true), (Some(false), false)] {
        let mut server = Server::new(adapter).mount("/", Route::echo(adapter));
        if let Some(nodelay) = change {
            server = match server {
                Server::Std(server) => {
                    Server::Std(server.listen_options(|options| options.nodelay = nodelay))
                }
                Server::Smol(server) => {
                    Server::Smol(server.listen_options(|options| options.nodelay = nodelay))
                }
            };
        }
        let server = server.start();
        let raw = Raw::open(server.address(), "/");
        let client = raw.socket().local_addr().unwrap();
        eventually("the option is set", || nodelay(server.address(), client) == Some(expected));
    }
}

fn a_client_sets_nodelay_unless_it_is_told_otherwise(adapter: Adapter) {
    for (change, expected) in [(None, true), (Some(true), true), (Some(false), false)] {
        let (ws, raw) = RawListener::connected(|url| {
            let client = Client::new(adapter, url);
            let client = match (client, change) {
                (client, None) => client,
                (Client::Std(client), Some(nodelay)) => Client::Std(client.nodelay(nodelay)),
                (Client::Smol(client), Some(nodelay)) => Client::Smol(client.nodelay(nodelay)),
            };
            client.connect().unwrap()
        });
        let [peer, local] = ws.addresses().map(Option::unwrap);
        assert_eq!(nodelay(local, peer), Some(expected));
        drop(raw);
    }
}
