//! `sockudo-ws`: `sockudo_ws [--listen ADDR] [--feed]`

use sockudo_ws::{Config, Http1, Message, server::WebSocketServer};
use ws_bench_peers::{Error, LIMIT, Options, echo, on_tokio};

fn main() -> Result<(), Error> {
    let options = Options::parse(&["feed"])?;
    let feed = options.feed;
    // Disable its pings and timeouts, because the other servers have none.
    let config = Config::builder().auto_ping(false).idle_timeout(0);
    let config = config.max_message_size(LIMIT).max_frame_size(LIMIT).build();
    let server = WebSocketServer::<Http1>::new(config);
    Ok(on_tokio(&options, |stream| {
        let server = server.clone();
        async move {
            let (ws, _handshake) = server.accept_raw(stream).await?;
            echo(ws, feed, |message| matches!(message, Message::Text(_) | Message::Binary(_))).await
        }
    })?)
}
