//! axum のルートで動く WebSocket です。`axum_server --listen 127.0.0.1:9001` で起動し、`ws://127.0.0.1:9001/rooms/red` に接続します。

use std::{env, io, sync::Arc, sync::atomic::AtomicUsize, sync::atomic::Ordering::Relaxed};

use axum::extract::{Path, Request, State};
use axum::{BoxError, Router, response::Response, response::Result, routing::any};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, select, signal};
use tokio_util::{compat::TokioAsyncReadCompatExt as _, sync::CancellationToken, task::TaskTracker};
use ws_smol::{Accept, Clock, CloseCode, Config, OriginPolicy, WebSocket};

#[derive(Clone, Default)]
struct App {
    visitors: Arc<AtomicUsize>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = env::args().skip_while(|argument| argument != "--listen").nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:9001")).await?;
    println!("listening on ws://{}/", listener.local_addr()?);
    let app = App::default();
    let router = Router::new().route("/rooms/{room}", any(open)).with_state(app.clone());
    axum::serve(listener, router).with_graceful_shutdown(async { drop(signal::ctrl_c().await) }).await?;
    app.stop.cancel();
    app.tasks.close();
    app.tasks.wait().await;
    Ok(())
}

/// WebSocket を開くか、リクエストを拒否します。
async fn open(State(app): State<App>, Path(room): Path<String>, mut request: Request) -> Result<Response> {
    let (accept, config, clock) = (Accept::new(), Arc::new(Config::default()), Clock::start());
    let accepted = ws_smol::Request::try_from(&request).and_then(|request| {
        request.upgrade(&OriginPolicy::SameHost)?.accept_parts(&accept, config, clock.now())
    });
    let (connection, response) = accepted.map_err(|error| -> Response { error.response().into() })?;
    let upgraded = hyper::upgrade::on(&mut request);
    app.tasks.clone().spawn(async move {
        let stream = TokioIo::new(upgraded.await?).compat();
        visit(app, room, WebSocket::from_upgraded(stream, connection, clock, [])).await
    });
    Ok(response.into())
}

async fn visit(app: App, room: String, mut ws: WebSocket) -> Result<(), BoxError> {
    ws.send(format!("visitor {}", app.visitors.fetch_add(1, Relaxed) + 1)).await?;
    loop {
        select! {
            message = ws.receive() => match message? {
                Some(message) => ws.send(format!("{room}: {message}")).await?,
                None => break,
            },
            () = app.stop.cancelled() => break,
        }
    }
    Ok(ws.close(CloseCode::GOING_AWAY, "stop").await?) // クライアントのストリームの終わりも待ちます
}
