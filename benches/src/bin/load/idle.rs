//! Idle connections.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use serde_json::json;
use ws_benches::process::{self, Memory};

use crate::{
    Result,
    open::overdue,
    options::Options,
    wire::{self, Exchange},
};

pub(crate) fn run(options: &Options) -> Result<()> {
    let exchange = Exchange::echo(&options.target, options.kind, options.payload);
    // Exclude the one-time costs of the first connections.
    let warm = open(options, &exchange, 32)?;
    let before = Usage::of(options.pid)?;
    let streams = open(options, &exchange, options.connections)?;
    let after = Usage::of(options.pid)?;
    drop((warm, streams));

    let each = |before: usize, after: usize| after.saturating_sub(before) / options.connections;
    let bytes = each(before.memory.resident, after.memory.resident);
    let stack = before.stacks.zip(after.stacks).map(|(before, after)| each(before, after));
    if options.json {
        let reading = json!({
            "mode": options.mode.name(),
            "connections": options.connections,
            "bytes_each": bytes,
            "stack_bytes_each": stack,
            "before": before.memory.resident,
            "resident": after.memory.resident,
            "peak": after.memory.peak,
        });
        println!("{reading}");
    } else {
        println!(
            "{} idle connections: {bytes} bytes resident each{} ({} KiB before, {} KiB after)",
            options.connections,
            stack.map_or_else(String::new, |stack| format!(", {stack} of them stack")),
            before.memory.resident >> 10,
            after.memory.resident >> 10,
        );
    }
    Ok(())
}

struct Usage {
    memory: Memory,
    stacks: Option<usize>,
}

impl Usage {
    fn of(pid: u32) -> Result<Self> {
        Ok(Self { memory: Memory::of(pid)?, stacks: process::stacks(pid) })
    }
}

/// Opens connections and uses each once.
fn open(options: &Options, exchange: &Exchange, number: usize) -> Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(number);
    for index in 0..number {
        let used = options.target.open().and_then(|mut stream| {
            echo_once(&mut stream, exchange)?;
            Ok(stream)
        });
        streams.push(used.map_err(|error| format!("connection {index}: {error}"))?);
    }
    Ok(streams)
}

fn echo_once(stream: &mut TcpStream, exchange: &Exchange) -> Result<()> {
    stream.write_all(&exchange.request)?;
    let mut received = vec![0; exchange.reply.len()];
    stream.read_exact(&mut received).map_err(overdue)?;
    wire::check(&received, &exchange.reply, &mut 0)?;
    Ok(())
}
