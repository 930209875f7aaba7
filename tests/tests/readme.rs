//! The programs that the README prints, run as they are printed.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use ws_tests::{Process, bounded, eventually, programs};

static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(programs);

/// The example with the text of each program, in the order of the README.
const EXAMPLES: [&str; 4] = [
    "adapter-std/examples/readme_server.rs",
    "adapter-std/examples/readme_client.rs",
    "adapter-smol/examples/smol_readme_server.rs",
    "adapter-smol/examples/smol_readme_client.rs",
];

/// Starts a server and waits until it listens.
fn start(program: &str, address: &str) -> Process {
    let address: SocketAddr = address.parse().expect("an address");
    assert!(TcpStream::connect(address).is_err(), "another program listens on {address}");
    let server = Process::start(&mut Command::new(PROGRAMS.join(program)));
    eventually("the server listens", || TcpStream::connect(address).is_ok());
    server
}

#[test]
fn each_program_is_an_example_and_there_is_no_other() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let readme = fs::read_to_string(workspace.join("README.md")).expect("the README");
    let programs = readme.split("```rust").skip(1).map(|rest| {
        let block = rest.split_once('\n').expect("a line").1;
        block.split_once("```").expect("the end of a block").0
    });
    let examples = EXAMPLES.map(|path| fs::read_to_string(workspace.join(path)).expect("an example"));
    assert_eq!(programs.collect::<Vec<_>>(), examples);
}

/// One test for all: the programs have fixed ports.
#[test]
fn each_client_talks_to_each_server() {
    LazyLock::force(&PROGRAMS);
    bounded(|| {
        for server in ["readme_server", "smol_readme_server"] {
            let _server = start(server, "127.0.0.1:9001");
            for client in ["readme_client", "smol_readme_client"] {
                let client = Process::start(&mut Command::new(PROGRAMS.join(client)));
                let (status, stdout, stderr) = client.finish();
                assert!(status.success(), "{stderr:?}");
                assert_eq!(stdout, ["received: Hello, WebSocket!"]);
            }
        }
    });
}
