//! One node of a chat on several nodes, which share rooms, names and messages through Redis.
//!
//! `cargo run -p ws-chat-redis --bin chat_node -- --listen ADDRESS --redis URL [--node NAME] [--history LINES] [--burst MESSAGES] [--period-ms MILLISECONDS] [--rooms ROOMS] [--outside-lobby CONNECTIONS]`

use std::{error::Error, process, thread, time::Duration};

use rustix::process::{Resource, getrlimit};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use smol::{channel, future};
use ws_chat::{Chat, Limits, pages};
use ws_chat_redis::Cluster;
use ws_smol::{Response, Route, Server};

/// Maximum time for writing the queued jobs when the node stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

fn main() {
    if let Err(error) = smol::block_on(run()) {
        eprintln!("chat_node: {error}");
        process::exit(1);
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let Options { address, redis, name, limits } = options()?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (stop, stopped) = channel::bounded(1);
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            let _ = stop.try_send(()); // fails if the node is ending anyway
        }
    });
    let cluster = Cluster::new(&redis, &name)?;
    let chat = Chat::with_backplane(limits, cluster.backplane());
    // Accept clients only after the node has received all events that Redis holds.
    let start = async { Some(cluster.start(&chat).await) };
    let stops = async {
        let _ = stopped.recv().await;
        None
    };
    let Some(node) = future::or(start, stops).await else { return Ok(()) };

    let room = || Route::callbacks(chat.callbacks()).check(chat.check()).configure(Chat::configure);
    let mut server = Server::new().mount("/", room()).mount("/:room", room());
    for (path, page) in pages(&chat, server.monitor()) {
        if path != "/healthz" {
            server = server.page(path, page);
        }
    }
    let is_healthy = node.health();
    let server = server.page("/healthz", move |_| match is_healthy() {
        true => Response::new(200).text("ok\n"),
        false => Response::new(503).text("Redis does not answer.\n"),
    });
    let listener = server.bind(&*address)?;

    let handle = listener.handle();
    println!("http://{}/", listener.local_addr()?);
    let stop = smol::spawn(async move {
        let _ = stopped.recv().await;
        handle.stop(Duration::from_secs(5)).await
    });
    listener.serve().await?;
    stop.await;
    // All clients have left by now. Publish that to the other nodes.
    node.stop(FLUSH_TIMEOUT).await;
    Ok(())
}

struct Options {
    address: String,
    redis: String,
    name: String,
    limits: Limits,
}

fn options() -> Result<Options, lexopt::Error> {
    use lexopt::prelude::*;
    let mut limits = Limits::default();
    if let Some(descriptors) = getrlimit(Resource::Nofile).current {
        limits = limits.fit(descriptors);
    }
    // Enough for the messages that arrive while a client reconnects to another node.
    limits.history = 200;
    let (mut address, mut redis) = ("127.0.0.1:9001".to_owned(), "redis://127.0.0.1:6379/".to_owned());
    let mut name = "node".to_owned();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("listen") => address = parser.value()?.string()?,
            Long("redis") => redis = parser.value()?.string()?,
            Long("node") => name = parser.value()?.string()?,
            Long("history") => limits.history = parser.value()?.parse()?,
            Long("rooms") => limits.rooms = parser.value()?.parse()?,
            Long("outside-lobby") => limits.outside_lobby = parser.value()?.parse()?,
            Long("burst") => limits.burst = parser.value()?.parse()?,
            Long("period-ms") => limits.period = Duration::from_millis(parser.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Options { address, redis, name, limits })
}
