//! A listening socket shortly before it is closed.
#![cfg(target_os = "linux")]

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use ws_transport::{ConnectOptions, ListenOptions, ListeningSocket, begin_connect};

fn listen(on: SocketAddr) -> ListeningSocket {
    ListenOptions::default().listen(on).expect("a listening socket").remove(0)
}

fn address(listener: &ListeningSocket) -> SocketAddr {
    listener.address().expect("an address").expect("an IP address")
}

#[test]
fn connected_clients_are_accepted_and_new_ones_cannot_connect() {
    for on in ["127.0.0.1:0", "[::1]:0"] {
        let listener = listen(on.parse().expect("an address"));
        let early = TcpStream::connect(address(&listener)).expect("a connection");
        listener.ignore_new_connections();
        let late = TcpStream::connect_timeout(&address(&listener), Duration::from_millis(100));
        assert_eq!(late.expect_err("no connection").kind(), ErrorKind::TimedOut);
        let (accepted, _) = listener.accept().expect("the early client");
        listener.set_nonblocking(true).expect("non-blocking");
        assert_eq!(listener.accept().expect_err("no other client").kind(), ErrorKind::WouldBlock);
        accepted.send(b"x").expect("a byte");
        assert_eq!(early.peek(&mut [0]).expect("the byte"), 1);
    }
}

#[test]
fn an_ignored_client_reaches_the_next_server_of_the_address() {
    let listener = listen("127.0.0.1:0".parse().expect("an address"));
    let address = address(&listener);
    listener.ignore_new_connections();
    let client = ConnectOptions::default().socket(address).expect("a socket");
    // The loopback device delivers the SYN before this call returns.
    begin_connect(&client, &address.into()).expect("an attempt to connect");
    drop(listener);
    let successor = listen(address);
    let (accepted, _) = successor.accept().expect("the client");
    let client = client.local_addr().expect("an address");
    assert_eq!(accepted.peer_addr().expect("an address").as_socket(), client.as_socket());
}

#[test]
fn a_socket_that_other_processes_may_hold_stays_open_for_new_clients() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listening socket");
    let address = listener.local_addr().expect("an address");
    let adopted = ListeningSocket::adopt(listener.try_clone().expect("a copy").into()).expect("it listens");
    adopted.ignore_new_connections();
    drop(adopted);
    let client = TcpStream::connect(address).expect("a connection");
    let (_, accepted) = listener.accept().expect("the client");
    assert_eq!(Some(accepted), client.local_addr().ok());
}
