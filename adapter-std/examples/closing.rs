//! Prints the messages that it receives. On `bye` it closes with a close code and a reason of its own. At the end it
//! prints the close code and the reason, whichever side closed.
//!
//! `cargo run --example closing -- [URL]`

use ws_std::{CloseCode, Error};

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/".into());
    let mut ws = ws_std::connect(&url)?;
    // An abnormal close is an error, and `close_info` returns both kinds.
    while let Ok(Some(message)) = ws.receive() {
        println!("received: {message}");
        if message == "bye" {
            // Waits for the peer's Close frame.
            ws.close(CloseCode::new(4000), "good night")?;
        }
    }
    if let Some(close_info) = ws.close_info() {
        println!(
            "code {}, reason {:?}, was_clean: {}",
            close_info.code.get(),
            close_info.reason,
            close_info.was_clean
        );
        println!("that is: {close_info}");
    }
    Ok(())
}
