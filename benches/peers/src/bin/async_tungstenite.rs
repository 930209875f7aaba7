//! `async-tungstenite` on smol: `async_tungstenite [--listen ADDR] [--feed]`

use async_tungstenite::{accept_async_with_config, tungstenite::protocol::WebSocketConfig};
use ws_bench_peers::{Error, LIMIT, Options, echo, on_smol};

fn main() -> Result<(), Error> {
    let options = Options::parse(&["feed"])?;
    let feed = options.feed;
    Ok(on_smol(&options, "ws", async move |stream| {
        let config = WebSocketConfig::default().max_message_size(Some(LIMIT)).max_frame_size(Some(LIMIT));
        let ws = accept_async_with_config(stream, Some(config)).await?;
        echo(ws, feed, |message| message.is_text() || message.is_binary()).await
    })?)
}
