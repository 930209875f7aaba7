//! Clients that send little, and wait for it to come back.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ws_benches::{process, server::open};

use crate::Result;

const CLIENTS: u32 = 50;
const PERIOD: Duration = Duration::from_millis(20);
const PAYLOAD: usize = 20;
const REPLY: usize = 2 + PAYLOAD;

struct Client {
    socket: TcpStream,
    /// When the next message is due, or when the one in flight was.
    due: Instant,
    /// CPU time of the server when the message in flight was written.
    cpu: Duration,
    /// How much of the reply has come, if a message is in flight.
    received: Option<usize>,
}

/// Latencies in microseconds.
pub(crate) struct Latencies {
    /// From the time at which a message was due to its reply.
    pub(crate) time: Histogram<u64>,
    /// The CPU time of the server between them, which does not depend on other processes of the machine. The kernel
    /// counts it in steps of a few milliseconds.
    pub(crate) cpu: Histogram<u64>,
}

/// Measures the latencies of a server with this process id. A message that waits for the reply to the one before counts from the time at
/// which it was due.
pub(crate) fn measure(address: &str, pid: u32, duration: Duration) -> Result<Latencies> {
    let mut latencies = Latencies { time: Histogram::new(3)?, cpu: Histogram::new(3)? };
    let cpu_time = || process::cpu_time(pid);
    let mut message = vec![0x82, 0x80 | PAYLOAD as u8, 0, 0, 0, 0];
    message.extend([b'x'; PAYLOAD]);
    let began = Instant::now() + Duration::from_millis(10);
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let socket = open(address, "/echo")?;
        socket.set_nonblocking(true)?;
        clients.push(Client {
            socket,
            due: began + PERIOD * number / CLIENTS,
            cpu: Duration::ZERO,
            received: None,
        });
    }
    let begun = Instant::now();
    for client in &mut clients {
        client.due += begun.saturating_duration_since(began);
    }
    while begun.elapsed() < duration {
        let now = Instant::now();
        let mut next = PERIOD;
        for client in clients.iter_mut().filter(|client| client.received.is_none()) {
            if client.due <= now {
                (&client.socket).write_all(&message)?;
                client.received = Some(0);
                client.cpu = cpu_time()?;
            } else {
                next = next.min(client.due - now);
            }
        }
        let mut polled: Vec<_> =
            clients.iter().map(|client| PollFd::new(&client.socket, PollFlags::IN)).collect();
        poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: i64::from(next.subsec_nanos()) }))?;
        let ready: Vec<_> = polled.iter().map(|polled| !polled.revents().is_empty()).collect();
        for (client, _) in clients.iter_mut().zip(ready).filter(|(_, is_ready)| *is_ready) {
            let mut buffer = [0; 2 * REPLY];
            let received = match (&client.socket).read(&mut buffer) {
                Ok(0) => return Err("the server has closed a polite connection".into()),
                Ok(read) => client.received.unwrap_or(0) + read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            };
            client.received = (received < REPLY).then_some(received);
            if received >= REPLY {
                let latency = client.due.elapsed().as_micros();
                latencies.time.record(u64::try_from(latency)?)?;
                latencies.cpu.record(u64::try_from(cpu_time()?.saturating_sub(client.cpu).as_micros())?)?;
                client.due += PERIOD;
            }
        }
    }
    Ok(latencies)
}
