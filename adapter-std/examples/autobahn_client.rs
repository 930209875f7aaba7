//! The client under test for the Autobahn suite's fuzzing server: runs all cases and echoes their messages.
//!
//! `cargo run --release --example autobahn_client -- ws://127.0.0.1:9002 AGENT`

use std::{env, error::Error, process};

use ws_std::{Client, Deflate, WebSocket};

fn main() {
    if let Err(error) = run() {
        eprintln!("autobahn_client: {error}");
        process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let [base, agent] = env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: autobahn_client BASE_URL AGENT")?;
    let count =
        connect(&format!("{base}/getCaseCount"))?.receive()?.ok_or("the suite sent no number of cases")?;
    let count: u32 = count.to_string().parse()?;
    for case in 1..=count {
        let mut ws = connect(&format!("{base}/runCase?case={case}&agent={agent}"))?;
        // The suite judges how each case ends, so an error is not a failure here.
        if let Err(error) = echo(&mut ws) {
            println!("case {case}: {error}");
        }
    }
    let mut ws = connect(&format!("{base}/updateReports?agent={agent}"))?;
    while ws.receive()?.is_some() {}
    Ok(())
}

fn connect(url: &str) -> Result<WebSocket, ws_std::Error> {
    Client::new(url)
        .configure(|config| {
            config.max_message_size = 64 << 20;
            config.max_fragments = usize::MAX;
            config.deflate = Some(Deflate::default());
        })
        .connect()
}

fn echo(ws: &mut WebSocket) -> Result<(), ws_std::Error> {
    while let Some(message) = ws.receive()? {
        ws.feed(message)?;
    }
    Ok(())
}
