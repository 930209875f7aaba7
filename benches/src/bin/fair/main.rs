//! Measures whether busy clients delay polite ones.
//!
//! `fair [--adapter std|smol] [--kind KIND]... [--busy N]... [--seconds S]`
//!
//! Starts a server in a process of its own for each run. Fifty polite clients each send 20 bytes to be echoed, every
//! 20 ms, and their latencies are printed beside those of a run without busy clients. The busy clients write as fast as
//! the server reads. The kinds:
//!
//! - `inflate`: compressed messages of about 1 KiB that inflate to 1 MiB,
//! - `large`: compressed messages of 64 KiB that inflate to 64 MiB,
//! - `chain`: messages of 64 KiB that are chains of empty final deflate blocks, and `blocks`: of final blocks with a
//!   letter each,
//! - `plain`: messages of 64 MiB without compression,
//! - `tiny`: messages of one byte,
//! - `broadcast`: messages of one byte that are broadcast to 200 sessions,
//! - `control`: pongs without a payload.

use std::{
    error::Error,
    io::{BufRead as _, BufReader},
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

mod busy;
mod polite;
mod serve;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

struct Options {
    adapters: Vec<String>,
    kinds: Vec<busy::Kind>,
    counts: Vec<usize>,
    duration: Duration,
}

/// A server in a process of its own, which ends with this.
struct Server {
    process: Child,
    address: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fair: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    use lexopt::prelude::*;
    let (mut adapters, mut kinds, mut counts, mut seconds) = (vec![], vec![], vec![], 5.0);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("serve") => return serve::serve(&parser.value()?.string()?),
            Long("adapter") => adapters.push(parser.value()?.string()?),
            Long("kind") => kinds.push(parser.value()?.parse_with(busy::Kind::parse)?),
            Long("busy") => counts.push(parser.value()?.parse()?),
            Long("seconds") => seconds = parser.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    if adapters.is_empty() {
        adapters = vec!["std".into(), "smol".into()];
    }
    if kinds.is_empty() {
        kinds = busy::Kind::ALL.to_vec();
    }
    if counts.is_empty() {
        counts = vec![1, 10];
    }
    if !(0.1..=60.0).contains(&seconds) {
        return Err("--seconds is between 0.1 and 60".into());
    }
    measure(&Options { adapters, kinds, counts, duration: Duration::from_secs_f64(seconds) })
}

fn measure(options: &Options) -> Result<()> {
    println!(
        "| adapter | busy clients | p50 ms | p99 ms | max ms | p99 ms of server CPU | echoes | busy MB/s on the wire |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for adapter in &options.adapters {
        one(adapter, None, options.duration)?;
        for &kind in &options.kinds {
            for &count in &options.counts {
                one(adapter, Some((kind, count)), options.duration)?;
            }
        }
    }
    Ok(())
}

fn one(adapter: &str, busy: Option<(busy::Kind, usize)>, duration: Duration) -> Result<()> {
    let server = Server::start(adapter)?;
    let running = busy.map(|(kind, count)| busy::start(&server.address, kind, count)).transpose()?;
    let latencies = polite::measure(&server.address, server.process.id(), duration)?;
    let wire = running.map_or(0.0, busy::Running::stop);
    drop(server);
    let label = busy.map_or_else(|| String::from("none"), |(kind, count)| format!("{count} {}", kind.name()));
    let millis = |micros: u64| micros as f64 / 1e3;
    println!(
        "| {adapter} | {label} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {:.1} |",
        millis(latencies.time.value_at_quantile(0.5)),
        millis(latencies.time.value_at_quantile(0.99)),
        millis(latencies.time.max()),
        millis(latencies.cpu.value_at_quantile(0.99)),
        latencies.time.len(),
        wire / 1e6,
    );
    Ok(())
}

impl Server {
    fn start(adapter: &str) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--serve", adapter])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let output = process.stdout.take().ok_or("no output of the server")?;
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ").ok_or("the server does not listen")?.into();
        Ok(Self { process, address })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
