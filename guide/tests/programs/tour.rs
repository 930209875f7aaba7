//! The programs of the tour, ports 9100 to 9129.

use std::{
    net::{SocketAddr, TcpStream},
    process::Command,
};

use ws_tests::{Folder, Process, Raw, bounded, certificates::Authority, eventually, wire::Frame};

use crate::{finish, serve};

#[test]
fn the_echo_client_talks_to_the_echo_server() {
    bounded(|| {
        let _server = serve("echo_server", 9100);
        assert_eq!(finish("echo_client"), ["received: Hello, WebSocket!"]);
    });
}

#[test]
fn the_async_client_talks_to_the_async_server() {
    bounded(|| {
        let _server = serve("async_echo_server", 9101);
        assert_eq!(finish("async_echo_client"), ["received: Hello, WebSocket!"]);
    });
}

#[test]
fn text_is_answered_with_text_and_bytes_with_bytes() {
    bounded(|| assert_eq!(finish("text_and_binary"), ["text: TEXT", "binary: 3 bytes"]));
}

#[test]
fn the_client_sees_the_close_code_of_the_server() {
    bounded(|| assert_eq!(finish("closing"), ["refused: the free quota is used up"]));
}

#[test]
fn the_handler_reads_the_request() {
    bounded(|| {
        let expected = ["tour/1.0 entered lobby", "path /rooms/lobby, query Some(\"lang=en\")"];
        assert_eq!(finish("request"), expected);
    });
}

#[test]
fn the_state_machine_answers_without_a_socket() {
    bounded(|| {
        let expected = [
            "request for /chat",
            "received: Hello",
            "HTTP/1.1 101 Switching Protocols",
            "the frame: [81, 05, 48, 65, 6c, 6c, 6f]",
        ];
        assert_eq!(finish("state_machine"), expected);
    });
}

#[test]
fn the_chat_room_serves_a_page_and_broadcasts() {
    bounded(|| {
        let _server = serve("chat_room", 9106);
        let address = SocketAddr::from(([127, 0, 0, 1], 9106));
        let mut page = Raw::connect(address);
        page.write("GET / HTTP/1.1\r\nHost: localhost:9106\r\n\r\n");
        assert!(page.reply().body.contains("new WebSocket"));
        let mut raws = [(); 2].map(|()| Raw::open(address, "/chat"));
        let text = |raw: &mut Raw| String::from_utf8(raw.frame().payload).expect("text");
        for raw in &mut raws {
            assert!(text(raw).starts_with("welcome, you are "));
        }
        raws[0].send(Frame::text("Hello"));
        for raw in &mut raws {
            assert!(text(raw).ends_with(": Hello"));
        }
    });
}

#[test]
fn the_tls_client_trusts_the_authority_of_the_server() {
    bounded(|| {
        let folder = Folder::new();
        let authority = Authority::new();
        let server = authority.server_named(&["localhost"]);
        folder.write("ca.pem", authority.pem());
        folder.write("server.pem", server.chain);
        folder.write("server.key", server.key);
        let start = |program| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_guide_programs"));
            Process::start(command.arg(program).current_dir(folder.file("")))
        };
        let _server = start("tls_server");
        eventually("the server listens", || TcpStream::connect(("127.0.0.1", 9105)).is_ok());
        let (status, stdout, stderr) = start("tls_client").finish();
        assert!(status.success(), "{stderr:?}");
        assert_eq!(stdout, ["received: Hello, TLS!"]);
    });
}
