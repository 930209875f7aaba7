//! `tokio-websockets`: `tokio_websockets [--listen ADDR] [--feed]`

use tokio_websockets::{Config, Limits, ServerBuilder};
use ws_bench_peers::{Error, LIMIT, Options, echo, on_tokio};

fn main() -> Result<(), Error> {
    let options = Options::parse(&["feed"])?;
    let feed = options.feed;
    Ok(on_tokio(&options, |stream| {
        // Its own echo server has it not divide messages into frames either.
        let mut config = Config::default().frame_size(usize::MAX);
        if feed {
            // Rather than 8 KiB, so that the replies to a burst of larger messages go together too.
            config = config.flush_threshold(64 << 10);
        }
        async move {
            let limits = Limits::default().max_payload_len(Some(LIMIT));
            let builder = ServerBuilder::new().config(config).limits(limits);
            let (_request, ws) = builder.accept(stream).await?;
            echo(ws, feed, |message| message.is_text() || message.is_binary()).await
        }
    })?)
}
