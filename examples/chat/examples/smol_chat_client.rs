//! A chat client for the terminal: sends each typed line and prints the events of the room. When the connection is
//! lost, it reconnects and receives the messages that it missed, if the server still has them.
//!
//! `cargo run --release --example smol_chat_client -- NICK ws://127.0.0.1:9001/lobby`

use std::{env, error::Error, io, process};

use smol::{Unblock, future, io::AsyncBufReadExt as _, io::BufReader, stream::StreamExt as _};
use ws_chat::{Output, Visit, reconnect_policy};
use ws_smol::{Client, CloseCode, Message, WebSocket};

/// The lines typed in the terminal.
type Lines = smol::io::Lines<BufReader<Unblock<io::Stdin>>>;

fn main() {
    if let Err(error) = smol::block_on(run()) {
        eprintln!("smol_chat_client: {error}");
        process::exit(1);
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments = env::args().skip(1).collect::<Vec<_>>();
    let [nick, url] = &arguments[..] else {
        return Err("usage: smol_chat_client NICK URL, such as Ann ws://127.0.0.1:9001/lobby".into());
    };
    let mut visit = Visit::new(nick);
    let mut lines = BufReader::new(Unblock::new(io::stdin())).lines();
    let connections = Client::new(url).reconnect(reconnect_policy());
    let mut connections = connections.before_attempt(|client, attempt| {
        if let Some(error) = attempt.error {
            println!("* {error}. Connecting again");
        }
        future::ready(client)
    });
    while let Some(ws) = connections.next().await {
        talk(&mut visit, &mut ws?, &mut lines).await?;
    }
    Ok(())
}

/// The next event: a typed line, or a received message.
enum Next {
    Typed(Option<String>),
    Received(Result<Option<Message<'static>>, ws_smol::Error>),
}

/// Sends typed lines and prints events until the connection ends.
async fn talk(visit: &mut Visit, ws: &mut WebSocket, lines: &mut Lines) -> Result<(), Box<dyn Error>> {
    // If it fails, `receive` returns the reason.
    let _ = ws.send(visit.join()).await;
    loop {
        let typed = async {
            match visit.has_joined() {
                true => Next::Typed(lines.next().await.and_then(Result::ok)),
                false => future::pending().await,
            }
        };
        let received = async { Next::Received(ws.receive().await) };
        match future::race(received, typed).await {
            Next::Received(Ok(Some(Message::Text(text)))) => match visit.receive(&text) {
                Output::Line(line) => println!("{line}"),
                Output::Nothing => {}
                Output::Refused(why) => return Err(why.into()),
            },
            Next::Received(Ok(Some(Message::Binary(_)))) => {}
            // The stream of the connections prints the reason.
            Next::Received(Ok(None) | Err(_)) => return Ok(()),
            Next::Typed(Some(line)) => {
                if ws.send(Visit::say(&line)).await.is_err() {
                    println!("* not connected, this was not sent: {line}");
                }
            }
            Next::Typed(None) => {
                // The end of the input closes the connection, and no other one follows.
                let _ = ws.close(CloseCode::NORMAL_CLOSURE, "bye").await;
                return Ok(());
            }
        }
    }
}
