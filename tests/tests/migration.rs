//! The programs of the page about migrating from tungstenite, run as they are printed.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use ws_std::CloseCode;
use ws_tests::{Process, bounded, eventually, programs_of};

static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| programs_of(&["ws-migration"]));

/// The programs in the order of the page.
const EXAMPLES: [&str; 4] = [
    "from_tungstenite_server",
    "from_tungstenite_client",
    "from_tokio_tungstenite_server",
    "from_tokio_tungstenite_client",
];

const SERVERS: [&str; 2] = ["from_tungstenite_server", "from_tokio_tungstenite_server"];

/// Starts a server on a free port and waits until it listens.
fn start(program: &str) -> (Process, SocketAddr) {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let server = Process::start(Command::new(PROGRAMS.join(program)).arg(address.to_string()));
    eventually("the server listens", || TcpStream::connect(address).is_ok());
    (server, address)
}

fn run(test: impl FnOnce() + Send + 'static) {
    // Building takes longer than a test may.
    LazyLock::force(&PROGRAMS);
    bounded(test);
}

#[test]
fn each_program_of_the_page_is_an_example_and_there_is_no_other() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let page = fs::read_to_string(workspace.join("docs/migrating-from-tungstenite.md")).expect("the page");
    let programs = page.split("```rust\n").skip(1);
    let programs = programs.map(|rest| rest.split_once("```").expect("the end of a block").0);
    let examples = EXAMPLES.map(|name| {
        let path = format!("examples/migration/examples/{name}.rs");
        fs::read_to_string(workspace.join(path)).expect("an example")
    });
    assert_eq!(programs.collect::<Vec<_>>(), examples);
}

#[test]
fn the_servers_echo_text_and_binary_and_answer_a_close() {
    run(|| {
        for program in SERVERS {
            let (_server, address) = start(program);
            let mut ws = ws_std::connect(&format!("ws://{address}/")).unwrap();
            ws.send("text").unwrap();
            assert_eq!(ws.receive().unwrap().unwrap(), "text");
            ws.ping(b"ignored").unwrap();
            ws.send(vec![7; 100_000]).unwrap();
            assert_eq!(ws.receive().unwrap().unwrap().len(), 100_000);
            ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
            assert!(ws.close_info().unwrap().was_clean, "{program}");
        }
    });
}

#[test]
fn the_client_with_threads_prints_the_response_and_the_echo() {
    run(|| {
        for program in SERVERS {
            let (_server, address) = start(program);
            let url = format!("ws://{address}/socket");
            let mut client = Process::start(Command::new(PROGRAMS.join("from_tungstenite_client")).arg(url));
            assert_eq!(client.line(), "Connected to the server");
            assert_eq!(client.line(), "Response HTTP code: 101");
            assert_eq!(client.line(), "Response contains the following headers:");
            let headers: Vec<_> = std::iter::from_fn(|| Some(client.line()))
                .take_while(|line| line.starts_with("* "))
                .collect();
            assert!(headers.iter().any(|line| line.eq_ignore_ascii_case("* upgrade")), "{headers:?}");
        }
    });
}

#[test]
fn the_client_on_tokio_prints_the_echo_of_its_input_and_ends_with_it() {
    run(|| {
        for program in SERVERS {
            let (_server, address) = start(program);
            let url = format!("ws://{address}/");
            let mut client =
                Process::start(Command::new(PROGRAMS.join("from_tokio_tungstenite_client")).arg(url));
            assert_eq!(client.line(), "WebSocket handshake has been successfully completed");
            for line in ["first", "second"] {
                client.write_line(line);
                assert_eq!(client.line(), line);
            }
            let (status, _, stderr) = client.finish();
            assert!(status.success(), "{program}: {stderr:?}");
        }
    });
}
