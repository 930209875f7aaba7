//! The addresses of connections, which are remembered when the peer has gone.

use std::{
    net::SocketAddr,
    sync::{Mutex, mpsc},
    thread,
};

use ws_std::Callbacks;
use ws_tests::{
    PATIENCE, Raw, RawListener,
    either::{Adapter, Client, Route, Server, WebSocket},
    with_both_adapters,
};

with_both_adapters! {
    a_server_remembers_the_addresses_of_a_client_that_has_gone
    a_client_remembers_the_addresses_of_a_server_that_has_gone
    sessions_remember_the_addresses_of_peers_that_have_gone
}

fn expect_addresses(mut ws: WebSocket, addresses: [Option<SocketAddr>; 2]) {
    ws.receive().unwrap_err();
    assert_eq!(ws.addresses(), addresses);
    let (sender, receiver) = ws.split();
    assert_eq!((sender.addresses(), receiver.addresses()), (addresses, addresses));
}

fn a_server_remembers_the_addresses_of_a_client_that_has_gone(adapter: Adapter) {
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route).start();
    let raw = Raw::open(server.address(), "/");
    let client = raw.socket().local_addr().unwrap();
    let handed = take();
    raw.reset();
    expect_addresses(handed.ws, [Some(client), Some(server.address())]);
}

fn a_client_remembers_the_addresses_of_a_server_that_has_gone(adapter: Adapter) {
    let listener = RawListener::new();
    let client = Client::new(adapter, &listener.url("/"));
    let connecting = thread::spawn(move || client.connect().unwrap());
    let (raw, _) = listener.open();
    let client = raw.socket().peer_addr().unwrap();
    let ws = connecting.join().unwrap();
    raw.reset();
    expect_addresses(ws, [Some(listener.address()), Some(client)]);
}

fn sessions_remember_the_addresses_of_peers_that_have_gone(adapter: Adapter) {
    let (end, ended) = mpsc::channel();
    let end = Mutex::new(end);
    let callbacks = Callbacks::new().on_disconnect(move |session, _| {
        end.lock().unwrap().send([session.peer_addr(), session.local_addr()]).unwrap();
    });
    let server = Server::new(adapter).mount("/", Route::callbacks(adapter, callbacks)).start();
    let raw = Raw::open(server.address(), "/");
    let client = raw.socket().local_addr().unwrap();
    raw.reset();
    assert_eq!(ended.recv_timeout(PATIENCE).unwrap(), [Some(client), Some(server.address())]);
}
