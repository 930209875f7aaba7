//! `soketto` on tokio: `soketto [--listen ADDR] [--feed]`

use std::pin::pin;

use futures_util::{
    future::poll_immediate,
    io::{BufReader, BufWriter},
};
use soketto::{
    Data,
    handshake::{Server, server::Response},
};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncReadCompatExt as _;
use ws_bench_peers::{Error, LIMIT, Options, on_tokio};

fn main() -> Result<(), Error> {
    let options = Options::parse(&["feed"])?;
    let feed = options.feed;
    Ok(on_tokio(&options, |stream| echo(stream, feed))?)
}

async fn echo(stream: TcpStream, feed: bool) -> Result<(), Error> {
    // Buffered as in its examples. Otherwise it writes header and payload separately.
    let mut server = Server::new(BufReader::new(BufWriter::new(stream.compat())));
    let key = server.receive_request().await?.key();
    server.send_response(&Response::Accept { key, protocol: None }).await?;
    let mut builder = server.into_builder();
    builder.set_max_message_size(LIMIT);
    builder.set_max_frame_size(LIMIT);
    let (mut sender, mut receiver) = builder.finish();
    let mut message = Vec::new();
    loop {
        message.clear();
        let data = {
            let mut next = pin!(receiver.receive_data(&mut message));
            let ready = if feed { poll_immediate(next.as_mut()).await } else { None };
            if feed && ready.is_none() {
                sender.flush().await?;
            }
            match ready {
                Some(data) => data?,
                None => next.await?,
            }
        };
        match data {
            Data::Text(_) => sender.send_text(std::str::from_utf8(&message)?).await?,
            Data::Binary(_) => sender.send_binary(&message).await?,
        }
        if !feed {
            sender.flush().await?;
        }
    }
}
