//! The programs of the cookbook about clients, operation and migration, ports 9170 to 9209.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::Command,
};

use rustix::process::Signal;
use ws_tests::{
    Folder, ForeignProxy, Process, Raw, Running, bounded, certificates::Authority, echo, eventually,
    wire::Frame,
};

use crate::{finish, serve};

/// Starts a program in a folder.
fn start_in(folder: &Folder, program: &str) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guide_programs"));
    Process::start(command.arg(program).current_dir(folder.file("")))
}

/// Creates a folder with the certificates of a server, a client and their authorities.
fn certificates() -> Folder {
    let folder = Folder::new();
    let [authority, clients] = [(); 2].map(|()| Authority::new());
    folder.write("ca.pem", authority.pem());
    folder.write("clients-ca.pem", clients.pem());
    for (name, identity) in [("server", authority.server_named(&["localhost"])), ("client", clients.client())]
    {
        folder.write(&format!("{name}.pem"), identity.chain);
        folder.write(&format!("{name}.key"), identity.key);
    }
    folder
}

#[test]
fn mutual_tls_refuses_clients_without_a_certificate() {
    bounded(|| {
        let folder = certificates();
        let (status, stdout, stderr) = start_in(&folder, "mutual_tls").finish();
        assert!(status.success(), "{stderr:?}");
        assert_eq!(stdout, ["welcome", "without a certificate: refused"]);
    });
}

#[test]
fn a_new_certificate_is_used_while_the_server_runs() {
    bounded(|| {
        let folder = certificates();
        let mut server = start_in(&folder, "certificate_rotation");
        eventually("the server listens", || TcpStream::connect(("127.0.0.1", 9171)).is_ok());
        let renewed = Authority::new();
        let identity = renewed.server_named(&["localhost"]);
        folder.write("server.key", identity.key);
        folder.write("server.pem", identity.chain);
        assert_eq!(server.line(), "the certificate was replaced");
        let client = ws_std::Client::new("wss://localhost:9171/").tls(renewed.trusted());
        assert_eq!(client.connect().unwrap().receive().unwrap().unwrap(), "welcome");
    });
}

#[test]
fn a_signal_closes_the_connections_with_1001() {
    bounded(|| {
        let server = serve("graceful_shutdown", 9172);
        let mut ws = ws_std::connect("ws://127.0.0.1:9172/").unwrap();
        server.signal(Signal::TERM);
        assert!(ws.receive().unwrap().is_none());
        assert_eq!(ws.close_info().unwrap().code, ws_std::CloseCode::GOING_AWAY);
        let (status, stdout, stderr) = server.finish();
        assert!(status.success(), "{stderr:?}");
        assert_eq!(stdout, ["stopped"]);
    });
}

#[test]
fn pages_report_health_and_metrics() {
    bounded(|| {
        let expected = [
            "/healthz: HTTP/1.1 200 OK",
            "/readyz: HTTP/1.1 503 Service Unavailable",
            "/metrics: HTTP/1.1 200 OK",
        ];
        assert_eq!(finish("health_checks"), expected);
    });
}

#[test]
fn the_counters_show_connections_and_messages() {
    bounded(|| {
        let expected = ["1 connections opened, 1 requests refused", "1 messages in", "5 payload bytes out"];
        assert_eq!(finish("metrics"), expected);
    });
}

#[test]
fn the_mio_server_echoes_small_and_large_messages() {
    bounded(|| {
        let _server = serve("mio_server", 9173);
        let mut ws = ws_std::connect("ws://127.0.0.1:9173/").unwrap();
        for len in [0, 5, 1000, 1_000_000] {
            ws.send(vec![7; len]).unwrap();
            assert_eq!(ws.receive().unwrap().unwrap(), vec![7; len][..]);
        }
        ws.close(ws_std::CloseCode::NORMAL_CLOSURE, "").unwrap();
        // Many messages and the Close in one write are all answered.
        let mut raw = Raw::open(SocketAddr::from(([127, 0, 0, 1], 9173)), "/");
        for _ in 0..100 {
            raw.send(Frame::text(&"x".repeat(1000)));
        }
        raw.send(Frame::close(1000, ""));
        for _ in 0..100 {
            assert_eq!(raw.frame().payload.len(), 1000);
        }
        assert_eq!(raw.frame().opcode, 8);
    });
}

#[test]
fn the_programs_for_users_of_cpp_libraries_run() {
    bounded(|| {
        assert_eq!(finish("from_cpp_httplib"), ["echo: Hello"]);
        let lines = finish("from_network_system");
        // The client of the program has a session too, and either may have the first number.
        let id = lines[1].split_once(':').expect("the number of a session").0;
        let expected = [
            format!("client {id} connected"),
            format!("{id}: Hello"),
            format!("client {id} left: closed by the peer, code 1000 normal closure"),
        ];
        assert_eq!(lines, expected);
    });
}

#[test]
fn the_configurations_of_the_deployment_pages_are_printed_in_both_languages() {
    for page in ["nginx", "haproxy", "caddy", "systemd", "containers", "kubernetes"] {
        let block = |language: &str| {
            let path = format!("{}/{language}/src/deployment/{page}.md", env!("CARGO_MANIFEST_DIR"));
            let page = fs::read_to_string(path).expect("a page");
            let code: String = page.split("```").skip(1).step_by(2).collect();
            code.lines()
                .filter(|line| !line.trim_start().starts_with('#'))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(block("en"), block("ja"), "{page}");
    }
}

#[test]
fn the_third_connection_of_an_address_is_refused() {
    bounded(|| assert_eq!(finish("limits"), ["the third connection: 503, Retry-After: true"]));
}

#[test]
fn a_redirect_is_followed_and_a_name_resolved() {
    bounded(|| assert_eq!(finish("addresses"), ["you have found the new place"]));
}

#[test]
fn a_client_passes_a_proxy() {
    bounded(|| {
        let server = Running::start(ws_std::Server::new().route("/", echo));
        let proxy = ForeignProxy::start("http", None, None);
        let mut command = Command::new(env!("CARGO_BIN_EXE_guide_programs"));
        let command = command.args(["proxies", &server.url("/"), &format!("http://{}", proxy.address())]);
        let (status, stdout, stderr) = Process::start(command).finish();
        assert!(status.success(), "{stderr:?}");
        assert_eq!(stdout, ["received: through the proxy"]);
    });
}

#[test]
fn a_reconnecting_client_continues_after_the_last_number() {
    bounded(|| {
        let expected = ["received: 1", "received: 2", "received: 3", "received: 4"];
        assert_eq!(finish("reconnecting"), expected);
    });
}

#[test]
fn the_error_hook_receives_the_error_of_a_handler() {
    bounded(|| {
        let lines = finish("logging");
        assert!(lines[0].contains("1011"), "{lines:?}");
        assert_eq!(lines[1], "the server: the database is down");
    });
}
