//! Listening sockets of both adapters: which are refused, and when they and their files are closed and removed.

use std::{
    fs::{self, File},
    io::ErrorKind,
    net::{Shutdown, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::OwnedFd,
        unix::{
            fs::symlink,
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::Path,
};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use ws_std::{CloseCode, Error};
use ws_tests::{
    Folder, PATIENCE,
    either::{Adapter, Client, Route, Running, Server},
    with_both_adapters,
};

with_both_adapters! {
    a_socket_that_cannot_accept_is_refused_at_bind
    serve_fails_when_another_process_shuts_its_socket_down
    an_invalid_backlog_is_refused_at_bind
    the_failure_of_each_address_is_reported
    the_first_address_that_can_be_had_is_listened_on
    a_listener_that_never_serves_closes_its_socket
    a_client_with_a_local_address_of_the_other_family_is_refused
    a_path_is_free_again_when_a_stop_begins
    a_path_is_free_again_when_a_listener_is_dropped
    a_stale_file_is_replaced
    a_path_on_which_a_process_listens_is_refused
    a_path_whose_server_has_a_full_queue_is_refused_without_waiting
    a_file_that_is_no_socket_is_refused
    a_file_that_another_server_has_put_there_stays
    the_file_of_an_inherited_socket_stays
}

fn echo(adapter: Adapter) -> Server {
    Server::new(adapter).mount("/", Route::echo(adapter))
}

fn expect_error<T>(result: Result<T, Error>, kind: ErrorKind, text: &str) {
    match result.map(drop) {
        Err(Error::Io(error)) => {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

fn expect_echo(adapter: Adapter, path: &Path) {
    let mut ws = Client::new(adapter, "ws://localhost/").connect_unix(path).unwrap();
    ws.send("is this the server?").unwrap();
    assert_eq!(ws.message(), "is this the server?");
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
}

fn a_socket_that_cannot_accept_is_refused_at_bind(adapter: Adapter) {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let idle = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let sockets: [(OwnedFd, &str); 5] = [
        (connected.into(), "a socket that does not listen"),
        (idle.into(), "a socket that does not listen"),
        (UdpSocket::bind("127.0.0.1:0").unwrap().into(), "no stream socket"),
        (UnixDatagram::unbound().unwrap().into(), "no stream socket"),
        (File::create(folder.file("file")).unwrap().into(), "no socket"),
    ];
    for (socket, problem) in sockets {
        expect_error(echo(adapter).bind_socket(socket), ErrorKind::InvalidInput, problem);
    }
}

fn serve_fails_when_another_process_shuts_its_socket_down(adapter: Adapter) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = echo(adapter).bind_socket(listener.try_clone().unwrap()).unwrap();
    SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
    expect_error(server.served(), ErrorKind::InvalidInput, "does not listen any more");
}

fn an_invalid_backlog_is_refused_at_bind(adapter: Adapter) {
    let folder = Folder::new();
    for backlog in [0, -1] {
        let error = echo(adapter).backlog(backlog).bind("127.0.0.1:0");
        expect_error(error, ErrorKind::InvalidInput, "backlog");
        let error = echo(adapter).backlog(backlog).bind_unix(&folder.file("socket"));
        expect_error(error, ErrorKind::InvalidInput, "backlog");
    }
    assert!(!folder.file("socket").exists());
}

fn the_failure_of_each_address_is_reported(adapter: Adapter) {
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let taken = taken.each_ref().map(|listener| listener.local_addr().unwrap());
    for address in taken {
        expect_error(echo(adapter).bind(&taken[..]), ErrorKind::AddrInUse, &address.to_string());
    }
}

fn the_first_address_that_can_be_had_is_listened_on(adapter: Adapter) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [taken.local_addr().unwrap(), "127.0.0.1:0".parse().unwrap()];
    let server = echo(adapter).bind(&addresses[..]).unwrap();
    assert_ne!(server.address(), addresses[0]);
    Client::new(adapter, &format!("ws://{}/", server.address())).connect().unwrap();
}

fn a_listener_that_never_serves_closes_its_socket(adapter: Adapter) {
    let (address, handle) = echo(adapter).listen_and_drop();
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert!(handle.stop(PATIENCE));
}

fn a_client_with_a_local_address_of_the_other_family_is_refused(adapter: Adapter) {
    let server = echo(adapter).start();
    let client = Client::new(adapter, &format!("ws://{}/", server.address()));
    let client = client.local_address("[::1]:0".parse().unwrap());
    expect_error(client.connect(), ErrorKind::InvalidInput, "the other family");
}

fn serve_on(adapter: Adapter, path: &Path) -> Running {
    echo(adapter).bind_unix(path).unwrap()
}

fn a_path_is_free_again_when_a_stop_begins(adapter: Adapter) {
    let folder = Folder::new();
    let path = folder.file("socket");
    for _ in 0..3 {
        let server = serve_on(adapter, &path);
        expect_echo(adapter, &path);
        server.handle().begin_stop(PATIENCE);
        assert!(!path.exists());
        server.served().unwrap();
    }
}

fn a_path_is_free_again_when_a_listener_is_dropped(adapter: Adapter) {
    let folder = Folder::new();
    let path = folder.file("socket");
    match adapter {
        Adapter::Std => drop(ws_std::Server::new().bind_unix(&path).unwrap()),
        Adapter::Smol => drop(ws_smol::Server::new().bind_unix(&path).unwrap()),
    }
    assert!(!path.exists());
}

fn a_stale_file_is_replaced(adapter: Adapter) {
    let folder = Folder::new();
    let path = folder.file("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _server = serve_on(adapter, &path);
    expect_echo(adapter, &path);
}

fn a_path_on_which_a_process_listens_is_refused(adapter: Adapter) {
    let folder = Folder::new();
    let path = folder.file("socket");
    let server = serve_on(adapter, &path);
    expect_error(echo(adapter).bind_unix(&path), ErrorKind::AddrInUse, "another process listens there");
    expect_echo(adapter, &path);
    drop(server);
}

fn a_path_whose_server_has_a_full_queue_is_refused_without_waiting(adapter: Adapter) {
    let folder = Folder::new();
    let path = folder.file("socket");
    let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    busy.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    busy.listen(0).unwrap();
    let _first = UnixStream::connect(&path).unwrap();
    expect_error(echo(adapter).bind_unix(&path), ErrorKind::AddrInUse, "another process listens there");
    assert!(path.exists());
}

fn a_file_that_is_no_socket_is_refused(adapter: Adapter) {
    let folder = Folder::new();
    let (file, link) = (folder.write("file", "a text"), folder.file("link"));
    drop(UnixListener::bind(folder.file("stale")).unwrap());
    symlink(folder.file("stale"), &link).unwrap();
    for path in [&file, &link] {
        expect_error(echo(adapter).bind_unix(path), ErrorKind::AddrInUse, "a file that is no socket");
    }
    assert_eq!(fs::read(file).unwrap(), b"a text");
    assert!(link.is_symlink());
}

fn a_file_that_another_server_has_put_there_stays(adapter: Adapter) {
    let folder = Folder::new();
    let path = folder.file("socket");
    let server = serve_on(adapter, &path);
    fs::remove_file(&path).unwrap();
    let _successor = serve_on(adapter, &path);
    assert!(server.handle().stop(PATIENCE));
    server.served().unwrap();
    expect_echo(adapter, &path);
}

fn the_file_of_an_inherited_socket_stays(adapter: Adapter) {
    let folder = Folder::new();
    let path = folder.file("socket");
    let inherited = UnixListener::bind(&path).unwrap();
    drop(echo(adapter).bind_socket(inherited.try_clone().unwrap()).unwrap());
    assert!(path.exists());
    let _successor = echo(adapter).bind_socket(inherited).unwrap();
    expect_echo(adapter, &path);
}
