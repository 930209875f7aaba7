//! `tokio-tungstenite`: `tokio_tungstenite [--listen ADDR] [--feed | --broadcast]`

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, accept_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};
use ws_bench_peers::{Clients, Error, LIMIT, Options, echo, on_tokio};

fn main() -> Result<(), Error> {
    let options = Options::parse(&["feed", "broadcast"])?;
    let clients = Clients::default();
    Ok(on_tokio(&options, |stream| {
        let (Options { feed, broadcast, .. }, clients) = (options.clone(), clients.clone());
        async move {
            let config = WebSocketConfig::default().max_message_size(Some(LIMIT)).max_frame_size(Some(LIMIT));
            let ws = accept_async_with_config(stream, Some(config)).await?;
            if broadcast { chat(ws, clients).await } else { echo(ws, feed, is_data).await }
        }
    })?)
}

fn is_data(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}

/// Broadcasts as the usual chat examples do, except that all queued messages are written together.
async fn chat(ws: WebSocketStream<TcpStream>, clients: Clients<Message>) -> Result<(), Error> {
    let (mut sink, mut stream) = ws.split();
    let (key, mut queue) = clients.join();
    tokio::spawn(async move {
        while let Some(message) = queue.recv().await {
            sink.feed(message).await?;
            while let Ok(message) = queue.try_recv() {
                sink.feed(message).await?;
            }
            sink.flush().await?;
        }
        Ok::<_, Error>(())
    });
    while let Some(Ok(message)) = stream.next().await {
        if is_data(&message) {
            clients.broadcast(&message);
        }
    }
    clients.leave(key);
    Ok(())
}
