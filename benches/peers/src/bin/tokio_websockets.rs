//! `tokio-websockets`: `tokio_websockets [--listen ADDR] [--feed]`

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_websockets::{Config, Limits, Message, ServerBuilder, WebSocketStream};
use ws_bench_peers::{Error, LIMIT, Options, echo, on_tokio};

fn main() -> Result<(), Error> {
    let options = Options::parse(&["feed"])?;
    let feed = options.feed;
    Ok(on_tokio(&options, |stream| {
        // Do not fragment messages, as in its own echo server.
        let mut config = Config::default().frame_size(usize::MAX);
        if feed {
            // More than the default of 8 KiB, so that the replies to a burst of larger messages are written together
            // too.
            config = config.flush_threshold(64 << 10);
        }
        async move {
            let limits = Limits::default().max_payload_len(Some(LIMIT));
            let builder = ServerBuilder::new().config(config).limits(limits);
            let (_request, ws) = builder.accept(stream).await?;
            if feed { feeding(ws).await } else { echo(ws, false, is_data).await }
        }
    })?)
}

fn is_data(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}

/// Echoes all messages of a read together. The library flushes before it reads, so this function takes all available
/// messages before it feeds the first reply.
async fn feeding(ws: WebSocketStream<TcpStream>) -> Result<(), Error> {
    let mut ws = ws.ready_chunks(64);
    while let Some(messages) = ws.next().await {
        for message in messages {
            let message = message?;
            if is_data(&message) {
                ws.feed(message).await?;
            }
        }
        ws.flush().await?;
    }
    Ok(())
}
