use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use ws_std::{Response, Server, ServerStats};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // ANCHOR: server
    let ready = Arc::new(AtomicBool::new(true));
    let is_ready = ready.clone();
    let server = Server::new();
    let metrics = server.monitor();
    let server = server
        // The process lives.
        .page("/healthz", |_request| Response::new(200).text("ok\n"))
        // The process accepts clients. Set it to `false` before a shutdown.
        .page("/readyz", move |_request| match is_ready.load(Ordering::Relaxed) {
            true => Response::new(200).text("ready\n"),
            false => Response::new(503).text("draining\n"),
        })
        .page("/metrics", move |_request| {
            let text = metrics.stats().to_prometheus();
            Response::new(200).header("Content-Type", ServerStats::PROMETHEUS).body(text)
        });
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(|| listener.serve());
    ready.store(false, Ordering::Relaxed);
    for path in ["/healthz", "/readyz", "/metrics"] {
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        println!("{path}: {}", response.lines().next().unwrap_or_default());
    }
    Ok(())
}
