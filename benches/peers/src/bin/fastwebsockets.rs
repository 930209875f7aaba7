//! `fastwebsockets`, upgraded by hyper: `fastwebsockets [--listen ADDR] [--broadcast]`
//!
//! It writes each frame at once, so there is no `--feed`.

use bytes::Bytes;
use fastwebsockets::{
    FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, WebSocket, upgrade::upgrade,
};
use http_body_util::Empty;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use tokio::task::unconstrained;
use ws_bench_peers::{Clients, Error, LIMIT, Options, on_tokio};

type Ws = WebSocket<TokioIo<Upgraded>>;
type Message = (OpCode, Bytes);

fn main() -> Result<(), Error> {
    let options = Options::parse(&["broadcast"])?;
    let clients = options.broadcast.then(Clients::default);
    Ok(on_tokio(&options, |stream| {
        let clients = clients.clone();
        async move {
            let accept = service_fn(|request| accept(request, clients.clone()));
            Ok(http1::Builder::new().serve_connection(TokioIo::new(stream), accept).with_upgrades().await?)
        }
    })?)
}

async fn accept(
    mut request: Request<Incoming>,
    clients: Option<Clients<Message>>,
) -> Result<Response<Empty<Bytes>>, Error> {
    let (response, upgraded) = upgrade(&mut request)?;
    // Without tokio's cooperative budget, as in its own echo server.
    tokio::spawn(unconstrained(async move {
        let mut ws = upgraded.await?;
        ws.set_max_message_size(LIMIT);
        match clients {
            None => echo(ws).await,
            Some(clients) => chat(ws, clients).await,
        }
    }));
    Ok(response)
}

async fn echo(ws: Ws) -> Result<(), Error> {
    let mut ws = FragmentCollector::new(ws);
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn chat(ws: Ws, clients: Clients<Message>) -> Result<(), Error> {
    let (reader, mut writer) = ws.split(tokio::io::split);
    let (key, mut queue) = clients.join();
    tokio::spawn(unconstrained(async move {
        while let Some((opcode, payload)) = queue.recv().await {
            writer.write_frame(Frame::new(true, opcode, None, Payload::Borrowed(&payload))).await?;
        }
        Ok::<_, Error>(())
    }));
    let mut reader = FragmentCollectorRead::new(reader);
    // Pongs and the reply to a close also pass through the client's queue.
    let mut answer = |frame: Frame<'_>| {
        clients.send(key, (frame.opcode, Bytes::copy_from_slice(&frame.payload)));
        std::future::ready(Ok::<_, Error>(()))
    };
    while let Ok(frame) = reader.read_frame(&mut answer).await {
        match frame.opcode {
            OpCode::Close => break,
            OpCode::Text | OpCode::Binary => clients.broadcast(&(frame.opcode, owned(frame.payload))),
            _ => {}
        }
    }
    clients.leave(key);
    Ok(())
}

fn owned(payload: Payload<'_>) -> Bytes {
    match payload {
        Payload::Bytes(bytes) => bytes.freeze(),
        Payload::Owned(bytes) => bytes.into(),
        other => Bytes::copy_from_slice(&other),
    }
}
