//! Broadcast: one connection sends, and all receive.

use std::time::{Duration, Instant};

use crate::{
    Result,
    meter::Meter,
    open::TIMEOUT,
    options::Options,
    swarm::{Swarm, Then},
    wire::Exchange,
};

/// The connection that sends.
const PUBLISHER: usize = 0;

pub(crate) fn run(options: &Options) -> Result<()> {
    let Exchange { request, reply } = Exchange::broadcast(&options.target, options.kind, options.payload);
    let batch = request.repeat(options.depth);
    let mut swarm = Swarm::open(&options.target, options.connections, batch, reply)?;
    subscribe(&mut swarm)?;
    let mut missing = vec![0; swarm.len()];
    let mut meter = Meter::start(options)?;
    while meter.runs()? {
        missing.fill(options.depth);
        let mut due = missing.len() * options.depth;
        let since = Instant::now();
        swarm.send(PUBLISHER)?;
        while due > 0 {
            let mut surplus = None;
            let alive = swarm.turn(TIMEOUT, |index, messages| {
                match missing[index].checked_sub(messages) {
                    Some(left) => missing[index] = left,
                    None => surplus = Some(index),
                }
                due = due.saturating_sub(messages);
                meter.count(messages, since.elapsed());
                Then::Wait
            })?;
            if let Some(index) = surplus {
                return Err(format!("connection {index} got more than was published").into());
            }
            if !alive {
                let without = missing.iter().filter(|&&left| left > 0).count();
                let state = swarm.state();
                return Err(format!("{without} got nothing for {TIMEOUT:?}: {state}").into());
            }
        }
    }
    meter.stop()?.print();
    Ok(())
}

/// Sends until each connection has received a message, and then waits until no more arrive. A server may add a
/// connection to its subscribers a little after it has answered the handshake.
fn subscribe(swarm: &mut Swarm) -> Result<()> {
    const QUIET: Duration = Duration::from_millis(100);
    let mut deaf = vec![true; swarm.len()];
    let deadline = Instant::now() + TIMEOUT;
    while deaf.contains(&true) {
        if Instant::now() > deadline {
            let count = deaf.iter().filter(|&&deaf| deaf).count();
            return Err(format!("{count} connections get nothing of what is published").into());
        }
        swarm.send(PUBLISHER)?;
        while swarm.turn(QUIET, |index, _| {
            deaf[index] = false;
            Then::Wait
        })? {}
    }
    Ok(())
}
