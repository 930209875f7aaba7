//! A server with little address space, for tests of its memory.
//!
//! `limited_server ADAPTER BUDGET SPACE` echoes on `/`, with compression. `ADAPTER` is `std` or `smol`, `BUDGET` the memory
//! limit in bytes (`-`: the default), and `SPACE` the size in bytes by which its address space may grow (`-`: any). It prints
//! its address. For each line on stdin it prints the memory that counts, the resident memory, and the number of connections
//! that were closed for lack of memory. It ends at the end of stdin.

use std::{env, error::Error, fs, io, process::exit};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use ws_std::Deflate;
use ws_tests::either::{Adapter, Route, Server};

fn main() {
    if let Err(error) = run() {
        eprintln!("limited_server: {error}");
        exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = env::args().skip(1).collect::<Vec<_>>();
    let [adapter, budget, space] = &arguments[..] else { return Err("ADAPTER BUDGET SPACE".into()) };
    let adapter = if adapter == "std" { Adapter::Std } else { Adapter::Smol };
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files })?;
    if space != "-" {
        let space = space.parse::<u64>()? + own_pages(0)? as u64;
        let all = getrlimit(Resource::As);
        setrlimit(Resource::As, Rlimit { current: Some(space), ..all })?;
    }
    let mut server = Server::new(adapter)
        .mount("/", Route::echo(adapter))
        .max_connections(8192)
        .configure(|config| config.deflate = Some(Deflate::default()));
    if budget != "-" {
        server = server.memory_limit(budget.parse()?);
    }
    let monitor = server.monitor();
    let server = server.start();
    println!("{}", server.address());
    for line in io::stdin().lines() {
        line?;
        let stats = monitor.stats();
        println!("{} {} {}", stats.memory, own_pages(1)?, stats.evicted);
    }
    Ok(())
}

/// Returns a size of this process from `/proc/self/statm` in bytes: 0 for the address space, 1 for the resident memory.
fn own_pages(column: usize) -> Result<usize, Box<dyn Error>> {
    let statm = fs::read_to_string("/proc/self/statm")?;
    let pages: usize = statm.split(' ').nth(column).ok_or("a column")?.parse()?;
    Ok(pages * rustix::param::page_size())
}
