//! The client under test for the Autobahn suite's fuzzing server: runs all cases and echoes their messages.
//!
//! `cargo run --release --example smol_autobahn_client -- ws://127.0.0.1:9002 AGENT`

use std::{env, error::Error, process};

use ws_smol::{Client, Deflate, WebSocket};

fn main() {
    if let Err(error) = smol::block_on(run()) {
        eprintln!("smol_autobahn_client: {error}");
        process::exit(1);
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let [base, agent] = env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: smol_autobahn_client BASE_URL AGENT")?;
    let count = connect(&format!("{base}/getCaseCount"))
        .await?
        .receive()
        .await?
        .ok_or("the suite sent no number of cases")?;
    let count: u32 = count.to_string().parse()?;
    for case in 1..=count {
        let mut ws = connect(&format!("{base}/runCase?case={case}&agent={agent}")).await?;
        // The suite judges how each case ends, so an error is not a failure here.
        if let Err(error) = echo(&mut ws).await {
            println!("case {case}: {error}");
        }
    }
    let mut ws = connect(&format!("{base}/updateReports?agent={agent}")).await?;
    while ws.receive().await?.is_some() {}
    Ok(())
}

async fn connect(url: &str) -> Result<WebSocket, ws_smol::Error> {
    Client::new(url)
        .configure(|config| {
            config.max_message_size = 64 << 20;
            config.max_fragments = usize::MAX;
            config.deflate = Some(Deflate::default());
        })
        .connect()
        .await
}

async fn echo(ws: &mut WebSocket) -> Result<(), ws_smol::Error> {
    while let Some(message) = ws.receive().await? {
        ws.feed(message).await?;
    }
    Ok(())
}
