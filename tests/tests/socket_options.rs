//! Options of sockets in both adapters, and the age of the latest message.

use std::{
    fmt::Debug,
    io,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
};

use socket2::{Domain, SockRef, Socket, Type};
use ws_std::{AddressFamily, Backlog, Callbacks, Error, Overflow, Sessions};
use ws_tests::{
    Raw,
    either::{Adapter, Client, Route, Running, Server},
    eventually, with_both_adapters,
};

with_both_adapters! {
    a_server_and_a_client_can_use_one_ip_version
    a_server_and_a_client_can_use_one_interface
    buffers_have_the_sizes_of_the_options
    a_function_configures_each_socket_before_its_use
    a_peer_that_begins_to_read_gets_the_latest_tick_after_few_stale_ones
}

fn echo(adapter: Adapter) -> Server {
    Server::new(adapter).mount("/", Route::echo(adapter))
}

fn client(adapter: Adapter, server: &Running) -> Client {
    Client::new(adapter, &format!("ws://localhost:{}/", server.address().port()))
}

fn expect_echo(client: Client) {
    let mut ws = client.connect().unwrap();
    ws.send("Hello").unwrap();
    assert_eq!(ws.message(), "Hello");
}

fn io_error<T: Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Io(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

fn a_server_and_a_client_can_use_one_ip_version(adapter: Adapter) {
    let with = |family| echo(adapter).socket_options(move |options| options.family = family);
    let v4 = with(AddressFamily::Ipv4).bind("localhost:0").unwrap();
    assert!(v4.address().is_ipv4());
    let connecting = |family| client(adapter, &v4).socket_options(move |options| options.family = family);
    expect_echo(connecting(AddressFamily::Ipv4));
    let error = io_error(connecting(AddressFamily::Ipv6).connect());
    assert!(error.contains("127.0.0.1") && error.contains("Ipv6"), "{error}");
    let error = io_error(with(AddressFamily::Ipv6).bind("127.0.0.1:0"));
    assert!(error.contains("Ipv6"), "{error}");
    // With IPv6 only, IPv4 clients do not reach the server.
    let v6 = with(AddressFamily::Ipv6).bind("[::]:0").unwrap();
    TcpStream::connect(("127.0.0.1", v6.address().port())).unwrap_err();
    expect_echo(Client::new(adapter, &format!("ws://[::1]:{}/", v6.address().port())));
}

fn a_server_and_a_client_can_use_one_interface(adapter: Adapter) {
    let with =
        |name: &'static str| echo(adapter).socket_options(|options| options.interface = Some(name.into()));
    let server = with("lo").start();
    let connecting = |name: &'static str| {
        client(adapter, &server).socket_options(|options| options.interface = Some(name.into()))
    };
    expect_echo(connecting("lo"));
    for error in [io_error(connecting("missing0").connect()), io_error(with("missing0").bind("127.0.0.1:0"))]
    {
        assert!(error.contains("missing0"), "{error}");
    }
}

fn buffers_have_the_sizes_of_the_options(adapter: Adapter) {
    let (sizes, seen) = mpsc::channel();
    let observe = move |socket: std::os::fd::BorrowedFd<'_>| {
        let socket = SockRef::from(&socket);
        sizes.send((socket.send_buffer_size()?, socket.recv_buffer_size()?)).map_err(io::Error::other)
    };
    let server = echo(adapter)
        .socket_options(|options| {
            (options.send_buffer_size, options.receive_buffer_size) = (Some(20_000), Some(30_000));
            options.configure(observe.clone());
        })
        .start();
    // Linux doubles the sizes.
    assert_eq!(seen.recv().unwrap(), (40_000, 60_000), "the listening socket");
    let connecting = client(adapter, &server).socket_options(|options| {
        (options.send_buffer_size, options.receive_buffer_size) = (Some(5_000), Some(6_000));
        options.configure(observe.clone());
    });
    expect_echo(connecting);
    let mut both = [seen.recv().unwrap(), seen.recv().unwrap()];
    both.sort_unstable();
    assert_eq!(both, [(10_000, 12_000), (40_000, 60_000)], "the client and the accepted socket");
}

fn a_function_configures_each_socket_before_its_use(adapter: Adapter) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let server = echo(adapter).socket_options(|options| {
        options.configure(move |socket| {
            // The listening socket, one client, and then an error.
            match counted.fetch_add(1, SeqCst) {
                0 | 1 => SockRef::from(&socket).set_keepalive(true),
                _ => Err(io::Error::other("no more")),
            }
        });
    });
    let monitor = server.monitor();
    let server = server.bind("127.0.0.1:0").unwrap();
    expect_echo(Client::new(adapter, &format!("ws://{}/", server.address())));
    Client::new(adapter, &format!("ws://{}/", server.address())).connect().unwrap_err();
    eventually("the refusal is counted", || monitor.stats().refused == 1);
    assert_eq!(count.load(SeqCst), 3);
    let refusing = client(adapter, &server)
        .socket_options(|options| options.configure(|_| Err(io::Error::other("not configured"))));
    let error = io_error(refusing.connect());
    assert!(error.contains("not configured"), "{error}");
}

fn a_peer_that_begins_to_read_gets_the_latest_tick_after_few_stale_ones(adapter: Adapter) {
    const TICKS: usize = 60_000;
    /// The receive buffer of the peer and 4 KiB of unsent data contain fewer ticks of about 100 bytes.
    const MAX_STALE: usize = 400;
    let everyone = Sessions::new();
    let backlog = Backlog { overflow: Overflow::KeepLatest, ..Backlog::default() };
    let callbacks = Callbacks::new().sessions(&everyone).backlog(backlog);
    let server = Server::new(adapter).mount("/", Route::callbacks(adapter, callbacks)).start();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], server.address().port())).into()).unwrap();
    let mut raw = Raw::open_over(socket.into(), "/");
    eventually("the session has begun", || everyone.len() == 1);
    for tick in 0..TICKS {
        everyone.broadcast(format!("{tick:100}"));
    }
    let mut stale = 0;
    loop {
        let tick: usize = String::from_utf8(raw.frame().payload).unwrap().trim().parse().unwrap();
        if tick == TICKS - 1 {
            break;
        }
        stale += 1;
    }
    assert!(stale < MAX_STALE, "{stale} stale ticks");
}
