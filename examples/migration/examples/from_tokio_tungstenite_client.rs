//! The client among tokio-tungstenite's examples: it sends stdin, and prints the received messages.

use std::env;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use ws_smol::{CloseCode, Error, Sender};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = env::args().nth(1).unwrap_or_else(|| panic!("this program requires at least one argument"));

    let ws_stream = ws_smol::connect(&url).await.expect("Failed to connect");
    println!("WebSocket handshake has been successfully completed");

    let (write, mut read) = ws_stream.split();
    tokio::spawn(read_stdin(write));
    let mut stdout = tokio::io::stdout();
    while let Some(message) = read.receive().await? {
        stdout.write_all(message.as_bytes()).await?;
        stdout.flush().await?;
    }
    Ok(())
}

// Our helper method which will read data from stdin and send it along the sender provided.
async fn read_stdin(sender: Sender) -> Result<(), Error> {
    let mut stdin = tokio::io::stdin();
    let mut buf = vec![0; 1024];
    loop {
        match stdin.read(&mut buf).await {
            Err(_) | Ok(0) => return sender.close(CloseCode::NORMAL_CLOSURE, "").await,
            Ok(n) => sender.send(&buf[..n]).await?,
        }
    }
}
