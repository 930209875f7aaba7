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
    env,
    error::Error,
    process::{Command, ExitCode},
    time::Duration,
};

use ws_benches::server::Server;

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
    let server = Server::start(Command::new(env::current_exe()?).args(["--serve", adapter]))?;
    let running = busy.map(|(kind, count)| busy::start(server.address(), kind, count)).transpose()?;
    let latencies = polite::measure(server.address(), server.pid(), duration)?;
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
