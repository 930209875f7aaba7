//! The programs of the guide, run as the pages print them. Each page has a port of its own, so that tests can run at
//! the same time.

mod cookbook_clients;
mod cookbook_servers;
mod tour;

use std::{net::TcpStream, process::Command};

use ws_tests::{Process, eventually};

fn start(program: &str) -> Process {
    Process::start(Command::new(env!("CARGO_BIN_EXE_guide_programs")).arg(program))
}

/// Starts a server and waits until it listens.
fn serve(program: &str, port: u16) -> Process {
    let connect = || TcpStream::connect(("127.0.0.1", port));
    assert!(connect().is_err(), "another program listens on port {port}");
    let server = start(program);
    eventually("the server listens", || connect().is_ok());
    server
}

/// Runs a program to its end and returns the lines that it printed.
fn finish(program: &str) -> Vec<String> {
    let (status, stdout, stderr) = start(program).finish();
    assert!(status.success(), "{program}: {stderr:?}");
    stdout
}
