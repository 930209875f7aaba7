//! A load generator that measures the cost for the server.
//!
//! `load --pid PID --url ws://127.0.0.1:PORT/ [--mode echo|broadcast|handshake|idle] [--connections N]
//! [--payload BYTES] [--depth N] [--text ascii|mixed] [--seconds S] [--json]`
//!
//! - `echo` keeps `depth` messages in flight on each connection: the next batch is sent when the last one has come
//!   back completely. Messages are binary without `--text`.
//! - `broadcast` sends on one connection, and all connections have to receive each message.
//! - `handshake` opens and closes connections, `--connections` at a time.
//! - `idle` opens connections, uses each once, and reports the memory of the server.
//!
//! With a `tcp://` URL the same bytes are sent without a protocol. The generator uses no WebSocket library: it masks
//! the frames before the start, and compares every byte of every reply.

use std::{error::Error, process::ExitCode};

use options::{Mode, Options};
use ws_benches::process;

mod broadcast;
mod echo;
mod handshake;
mod idle;
mod meter;
mod open;
mod options;
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
