//! Counts messages over a period, after a warm-up.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::json;
use ws_benches::process::{self, Memory};

use crate::{Result, options::Options};

/// Counters that start after a warm-up of a fifth of the time.
pub(crate) struct Meter<'o> {
    options: &'o Options,
    started: Instant,
    since: Option<Since>,
    /// End of the period, including the warm-up.
    total: u64,
    /// Latencies in nanoseconds to three digits. They take a quarter of a megabyte, independent of their number.
    latencies: Histogram<u64>,
}

struct Since {
    at: Instant,
    cpu: Duration,
    waiting: Duration,
    total: u64,
}

impl<'o> Meter<'o> {
    pub(crate) fn start(options: &'o Options) -> Result<Self> {
        let latencies = Histogram::new_with_bounds(1, 60_000_000_000, 3)?;
        Ok(Self { options, started: Instant::now(), since: None, total: 0, latencies })
    }

    /// Returns `true` while time is left.
    pub(crate) fn runs(&mut self) -> Result<bool> {
        let now = Instant::now();
        if let Some(since) = &self.since {
            return Ok(now.duration_since(since.at).as_secs_f64() < self.options.seconds);
        }
        if now.duration_since(self.started).as_secs_f64() >= self.options.seconds * 0.2 {
            let (cpu, waiting) = (process::cpu_time(self.options.pid)?, process::waiting_time()?);
            self.since = Some(Since { at: now, cpu, waiting, total: self.total });
        }
        Ok(true)
    }

    /// Records a number of arrived messages and their latency.
    pub(crate) fn count(&mut self, number: usize, latency: Duration) {
        self.total += number as u64;
        if self.since.is_some() {
            self.latencies.saturating_record_n(latency.as_nanos() as u64, number as u64);
        }
    }

    /// Returns the counts since the warm-up. Call it at once when the time is over.
    pub(crate) fn stop(self) -> Result<Reading<'o>> {
        let Self { options, since, total, latencies, .. } = self;
        let since = since.ok_or("the server took longer to start than the warm-up lasts")?;
        let wall = since.at.elapsed();
        let cpu = process::cpu_time(options.pid)?.saturating_sub(since.cpu);
        let waited = process::waiting_time()?.saturating_sub(since.waiting);
        let counted = total - since.total;
        if counted == 0 {
            return Err(format!("no {} came after the warm-up", options.mode.unit()).into());
        }
        let memory = Memory::of(options.pid)?;
        Ok(Reading { options, wall, cpu, waited, counted, total, latencies, memory })
    }
}

/// The final counts of a meter.
pub(crate) struct Reading<'o> {
    options: &'o Options,
    wall: Duration,
    cpu: Duration,
    /// Time that the generator waited for its processor. It shows the load by other programs.
    waited: Duration,
    counted: u64,
    total: u64,
    latencies: Histogram<u64>,
    memory: Memory,
}

impl Reading<'_> {
    pub(crate) fn print(&self) {
        let Self { options, wall, cpu, counted, .. } = self;
        let per_second = *counted as f64 / wall.as_secs_f64();
        let cpu_us = cpu.as_secs_f64() * 1e6 / *counted as f64;
        let us = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        let (p50, p99, p999) = (us(0.5), us(0.99), us(0.999));
        let (mode, unit) = (options.mode.name(), options.mode.unit());
        if !options.json {
            println!(
                "{mode}: {per_second:.0}/s, {cpu_us:.3} us of server CPU for each {unit}, latency {p50:.0} us, \
                 99 % {p99:.0} us, 99.9 % {p999:.0} us, {} KiB resident, {} KiB at most",
                self.memory.resident >> 10,
                self.memory.peak >> 10,
            );
            return;
        }
        let reading = json!({
            "mode": mode,
            "unit": unit,
            "connections": options.connections,
            "payload": options.payload,
            "depth": options.depth,
            "counted": counted,
            "total": self.total,
            "seconds": wall.as_secs_f64(),
            "cpu_seconds": cpu.as_secs_f64(),
            "waited": self.waited.as_secs_f64() / wall.as_secs_f64(),
            "per_second": per_second,
            "cpu_us": cpu_us,
            "p50_us": p50,
            "p99_us": p99,
            "p999_us": p999,
            "resident": self.memory.resident,
            "peak": self.memory.peak,
        });
        println!("{reading}");
    }
}
