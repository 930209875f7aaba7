//! `tungstenite`, blocking: a thread for each connection, and each echo is written separately.
//!
//! It has no call that checks for a message without waiting, so there is no `--feed`.

use tungstenite::protocol::WebSocketConfig;
use ws_bench_peers::{Error, LIMIT, Options, on_threads};

fn main() -> Result<(), Error> {
    Ok(on_threads(&Options::parse(&[])?, "ws", |stream| {
        let config = WebSocketConfig::default().max_message_size(Some(LIMIT)).max_frame_size(Some(LIMIT));
        let mut ws = tungstenite::accept_with_config(stream, Some(config))?;
        loop {
            let message = ws.read()?;
            if message.is_text() || message.is_binary() {
                ws.send(message)?;
            }
        }
        #[expect(unreachable_code, reason = "it gives the type of the error")]
        Ok::<_, Error>(())
    })?)
}
