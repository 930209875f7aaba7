//! Echo: each message comes back to its sender.

use std::time::Instant;

use crate::{
    Result,
    meter::Meter,
    open::TIMEOUT,
    options::Options,
    swarm::{Swarm, Then},
    wire::Exchange,
};

pub(crate) fn run(options: &Options) -> Result<()> {
    let Exchange { request, reply } = Exchange::echo(&options.target, options.kind, options.payload);
    let batch = request.repeat(options.depth);
    let mut swarm = Swarm::open(&options.target, options.connections, batch, reply)?;
    let mut flights = vec![Flight { since: Instant::now(), messages: 0 }; swarm.len()];
    let mut meter = Meter::start(options)?;
    for (index, flight) in flights.iter_mut().enumerate() {
        *flight = Flight { since: Instant::now(), messages: options.depth };
        swarm.send(index)?;
    }
    while meter.runs()? {
        turn(&mut swarm, &mut flights, |flight, replies| {
            let now = Instant::now();
            meter.count(replies, now.duration_since(flight.since));
            if flight.messages > 0 {
                return Then::Wait;
            }
            *flight = Flight { since: now, messages: options.depth };
            Then::Send
        })?;
    }
    let reading = meter.stop()?;
    // No reply may be lost.
    while flights.iter().any(|flight| flight.messages > 0) {
        turn(&mut swarm, &mut flights, |_, _| Then::Wait)?;
    }
    reading.print();
    Ok(())
}

/// The batch in flight on a connection.
#[derive(Clone, Copy)]
struct Flight {
    since: Instant,
    messages: usize,
}

fn turn(
    swarm: &mut Swarm,
    flights: &mut [Flight],
    mut arrived: impl FnMut(&mut Flight, usize) -> Then,
) -> Result<()> {
    let mut surplus = None;
    let alive = swarm.turn(TIMEOUT, |index, replies| {
        let flight = &mut flights[index];
        let Some(left) = flight.messages.checked_sub(replies) else {
            surplus = Some(index);
            return Then::Wait;
        };
        flight.messages = left;
        arrived(flight, replies)
    })?;
    if let Some(index) = surplus {
        return Err(format!("connection {index}: more came back than was sent").into());
    }
    if !alive {
        let waiting = flights.iter().filter(|flight| flight.messages > 0).count();
        return Err(format!(
            "nothing came for {TIMEOUT:?}, and {waiting} connections wait: {}",
            swarm.state()
        )
        .into());
    }
    Ok(())
}
