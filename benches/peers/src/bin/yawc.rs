//! `yawc`, upgraded by hyper: `yawc [--listen ADDR] [--feed]`

use futures_util::StreamExt as _;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use ws_bench_peers::{Error, LIMIT, Options, echo, on_tokio};
use yawc::{HttpStream, OpCode, WebSocket, WebSocketError};

fn main() -> Result<(), Error> {
    let options = Options::parse(&["feed"])?;
    let feed = options.feed;
    Ok(on_tokio(&options, |stream| async move {
        let upgrade = service_fn(|request| upgrade(request, feed));
        Ok(http1::Builder::new().serve_connection(TokioIo::new(stream), upgrade).with_upgrades().await?)
    })?)
}

async fn upgrade(request: Request<Incoming>, feed: bool) -> yawc::Result<yawc::HttpResponse> {
    // Payloads must be smaller than the first limit. Text is validated only on request.
    let mut options = yawc::Options::default().with_limits(LIMIT + 1, LIMIT + 1).with_utf8();
    if feed {
        // The same setting as in its own benchmark.
        options = options.with_read_buffer_capacity(128 << 10).with_backpressure_boundary(64 << 10);
    }
    let (response, upgraded) = WebSocket::<HttpStream>::upgrade_with_options(request, options)?;
    tokio::spawn(async move {
        // When the connection fails, the stream ends without an error.
        let ws = upgraded.await?.map(Ok::<_, WebSocketError>);
        echo(ws, feed, |frame| matches!(frame.opcode(), OpCode::Text | OpCode::Binary)).await
    });
    Ok(response)
}
