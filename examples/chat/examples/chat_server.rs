//! A chat server: rooms over WebSocket, and the web page of the chat, on one port.
//!
//! `cargo run --release --example chat_server -- [--listen ADDRESS] [--burst MESSAGES] [--period-ms MILLISECONDS]
//! [--rooms ROOMS] [--outside-lobby CONNECTIONS]`

use std::{error::Error, process, thread, time::Duration};

use rustix::process::{Resource, getrlimit};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use ws_chat::{Chat, Limits, pages};
use ws_std::{Route, Server};

fn main() {
    if let Err(error) = run() {
        eprintln!("chat_server: {error}");
        process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let (address, limits) = options()?;
    let chat = Chat::new(limits);
    let room = || Route::callbacks(chat.callbacks()).check(chat.check()).configure(Chat::configure);
    let mut server = Server::new().mount("/", room()).mount("/:room", room());
    for (path, page) in pages(&chat, server.monitor()) {
        server = server.page(path, page);
    }
    let listener = server.bind(&*address)?;

    let handle = listener.handle();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    println!("http://{}/", listener.local_addr()?);
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            handle.stop(Duration::from_secs(5));
        }
    });
    Ok(listener.serve()?)
}

fn options() -> Result<(String, Limits), lexopt::Error> {
    use lexopt::prelude::*;
    let (mut address, mut limits) = ("127.0.0.1:9001".to_owned(), Limits::default());
    if let Some(descriptors) = getrlimit(Resource::Nofile).current {
        limits = limits.fit(descriptors);
    }
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("listen") => address = parser.value()?.string()?,
            Long("rooms") => limits.rooms = parser.value()?.parse()?,
            Long("outside-lobby") => limits.outside_lobby = parser.value()?.parse()?,
            Long("burst") => limits.burst = parser.value()?.parse()?,
            Long("period-ms") => limits.period = Duration::from_millis(parser.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok((address, limits))
}
