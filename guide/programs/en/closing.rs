use std::thread;

use ws_std::{CloseCode, Error, Server};

// ANCHOR: code
/// Close codes from 4000 to 4999 are free for applications.
const QUOTA_USED: CloseCode = CloseCode::new(4001);
// ANCHOR_END: code

fn main() -> Result<(), Error> {
    // ANCHOR: server
    let server = Server::new().route("/", |_request, mut ws| {
        let _ = ws.receive()?;
        ws.close(QUOTA_USED, "the free quota is used up")?;
        Ok(())
    });
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    // ANCHOR: client
    let mut ws = ws_std::connect(&url)?;
    ws.send("one more, please")?;
    match ws.receive() {
        Ok(Some(message)) => println!("received: {message}"),
        Ok(None) => println!("closed normally"),
        Err(Error::Closed(close_info)) if close_info.code == QUOTA_USED => {
            println!("refused: {}", close_info.reason);
        }
        Err(error) => println!("failed: {error}"),
    }
    // ANCHOR_END: client
    Ok(())
}
