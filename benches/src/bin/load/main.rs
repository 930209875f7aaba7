//! Loads a server and tells what that costs it.
//!
//! `load --pid PID --url ws://127.0.0.1:PORT/ [--mode echo|broadcast|handshake|idle] [--connections N]
//! [--payload BYTES] [--depth N] [--text ascii|mixed] [--seconds S] [--json]`
//!
//! - `echo` keeps `depth` messages in flight on each connection: the next are sent when the last have come
//!   back whole. They are binary without `--text`.
//! - `broadcast` lets one of the connections send, and every one has to get it.
//! - `handshake` opens and closes connections, so many at a time.
//! - `idle` opens connections, uses each once, and tells the server's memory.
//!
//! With a `tcp://` URL there is no protocol, just the same bytes. It uses no WebSocket library: frames are
//! masked once before the start, and every byte of every reply is compared.

use std::{error::Error, process::ExitCode};

use options::{Mode, Options};

mod broadcast;
mod echo;
mod handshake;
mod idle;
mod meter;
mod open;
mod options;
mod process;
mod swarm;
mod wire;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = Options::parse()?;
    process::allow_descriptors()?;
    match options.mode {
        Mode::Echo => echo::run(&options),
        Mode::Broadcast => broadcast::run(&options),
        Mode::Handshake => handshake::run(&options),
        Mode::Idle => idle::run(&options),
    }
}
