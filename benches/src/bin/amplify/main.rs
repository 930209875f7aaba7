//! Measures the cost that attacks cause for a server, for each byte of the attacker, beside two other implementations.
//!
//! `amplify [--server std|smol|tungstenite|ws]... [--attack WORD]... [--runs N]`
//!
//! Starts a server in a process of its own for each attack: `ws-std` and `ws-smol` with their default settings and
//! compression, `tungstenite` with a thread for each connection (`benches/peers`, which has to be built before), and
//! `ws` on Node (`tests/node_modules`). All of them echo. The first run of an attack shows memory and descriptors. The
//! following runs show CPU time, because a server with a just-in-time compiler is slow in its first run. An attack takes
//! a few seconds at most. `--attack` selects attacks by a word in their names.
//!
//! The bytes of an attacker are those that its sockets have accepted, and 120 bytes for each connection: the headers of
//! the three packets without which there is no connection. CPU time is that of the whole process, including the kernel.

use std::{error::Error, process::ExitCode};

use attacks::Attack;
use measure::Cost;
use servers::{Certificate, Kind};
use ws_benches::process;

mod attacker;
mod attacks;
mod measure;
mod report;
mod serve;
mod servers;

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("amplify: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    use lexopt::prelude::*;
    let (mut kinds, mut words, mut runs) = (vec![], vec![], 3);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("serve") => {
                let adapter = parser.value()?.string()?;
                return serve::serve(&adapter, &parser.raw_args()?.collect::<Vec<_>>());
            }
            Long("server") => kinds.push(parser.value()?.parse_with(Kind::parse)?),
            Long("attack") => words.push(parser.value()?.string()?),
            Long("runs") => runs = parser.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    if kinds.is_empty() {
        kinds = Kind::ALL.to_vec();
    }
    if !(1..=20).contains(&runs) {
        return Err("--runs is between 1 and 20".into());
    }
    process::allow_descriptors()?;
    let is_chosen =
        |attack: &Attack| words.is_empty() || words.iter().any(|word| attack.name.contains(&**word));
    let certificate = Certificate::new()?;
    let mut rows = Vec::new();
    for attack in attacks::all().filter(is_chosen) {
        let costs = kinds.iter().map(|&kind| {
            let cost = measure::measure(kind, &attack, &certificate, runs);
            eprintln!("{}, {}: {}", attack.name, kind.name(), report::line(&cost));
            cost
        });
        let costs = costs.collect::<Vec<Result<Option<Cost>>>>();
        rows.push((attack, costs));
    }
    report::print(&kinds, &rows);
    Ok(())
}
