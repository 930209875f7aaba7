use std::{thread, time::Duration};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use ws_std::Server;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::new().route("/", |_request, mut ws| {
        // During a shutdown, `receive` returns `None`.
        while let Some(message) = ws.receive()? {
            ws.send(message)?;
        }
        Ok(())
    });
    let listener = server.bind("127.0.0.1:9172")?;
    let handle = listener.handle();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            handle.begin_stop(Duration::from_secs(10));
        }
    });
    // Returns when all connections have ended, after 10 seconds at the latest.
    listener.serve()?;
    println!("stopped");
    Ok(())
}
