use std::thread;

use serde::{Deserialize, Serialize};
use ws_std::{CloseCode, Error, Server};

// ANCHOR: types
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Command {
    Join { room: String },
    Say { text: String },
}

#[derive(Debug, Serialize, Deserialize)]
struct Reply {
    ok: bool,
    text: String,
}
// ANCHOR_END: types

fn main() -> Result<(), Error> {
    // ANCHOR: server
    let server = Server::new().route("/", |_request, mut ws| {
        loop {
            let reply = match ws.receive_json::<Command>() {
                Ok(Some(Command::Join { room })) => Reply { ok: true, text: format!("you are in {room}") },
                Ok(Some(Command::Say { text })) => Reply { ok: true, text: text.to_uppercase() },
                Ok(None) => return Ok(()),
                // メッセージがコマンドではありません。接続は開いたままです。
                Err(Error::Json(error)) => Reply { ok: false, text: error.to_string() },
                Err(error) => return Err(error.into()),
            };
            ws.send_json(&reply)?;
        }
    });
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    // ANCHOR: client
    let mut ws = ws_std::connect(&url)?;
    ws.send_json(&Command::Join { room: "rust".into() })?;
    if let Some(reply) = ws.receive_json::<Reply>()? {
        println!("{}", reply.text);
    }
    // ANCHOR_END: client
    ws.send("{\"type\":\"dance\"}")?;
    if let Some(reply) = ws.receive_json::<Reply>()? {
        println!("ok: {}, the reason is given: {}", reply.ok, reply.text.contains("dance"));
    }
    ws.close(CloseCode::NORMAL_CLOSURE, "")
}
