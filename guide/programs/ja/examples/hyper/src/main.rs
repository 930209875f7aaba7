//! HTTP/1.1 と HTTP/2 (RFC 8441) に対応した、hyper のエコーサーバーです: `hyper_server --listen 127.0.0.1:9001`

use std::{convert::Infallible, env, error::Error, io, sync::Arc};

use http_body_util::Full;
use hyper::{Request, body::Bytes, body::Incoming, ext::Protocol, http, service::service_fn, upgrade};
use hyper_util::{rt::TokioExecutor, rt::TokioIo, server::conn::auto::Builder};
use tokio_util::compat::TokioAsyncReadCompatExt as _;
use ws_smol::{Accept, Clock, CloseCode, Config, OriginPolicy, Response, WebSocket};

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = env::args().skip_while(|argument| argument != "--listen").nth(1);
    let listener = tokio::net::TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:9001")).await?;
    println!("listening on ws://{}/", listener.local_addr()?);
    let mut http = Builder::new(TokioExecutor::new());
    http.http2().enable_connect_protocol();
    let service = service_fn(|request| async {
        let response = answer(request).await.unwrap_or_else(|refusal| refusal);
        Ok::<http::Response<Full<Bytes>>, Infallible>(response.into())
    });
    loop {
        let (http, stream) = (http.clone(), TokioIo::new(listener.accept().await?.0));
        tokio::spawn(async move { http.serve_connection_with_upgrades(stream, service).await });
    }
}

/// WebSocket を開くか、リクエストを拒否します。
async fn answer(mut request: Request<Incoming>) -> Result<Response, Response> {
    let mut received = ws_smol::Request::try_from(&request).map_err(|error| error.response())?;
    if let Some(protocol) = request.extensions().get::<Protocol>() {
        received.set_protocol(protocol.as_str());
    }
    let (clock, config) = (Clock::start(), Arc::new(Config::default()));
    let upgrade = received.upgrade(&OriginPolicy::SameHost);
    let accepted = upgrade.and_then(|upgrade| upgrade.accept_parts(&Accept::new(), config, clock.now()));
    let (connection, response) = accepted.map_err(|error| received.refusal(&error))?;
    let upgraded = upgrade::on(&mut request);
    tokio::spawn(async move {
        let stream = TokioIo::new(upgraded.await?).compat();
        let mut ws = WebSocket::from_upgraded(stream, connection, clock, []);
        while let Some(message) = ws.receive().await? {
            ws.feed(message).await?;
        }
        Ok::<_, Box<dyn Error + Send + Sync>>(ws.close(CloseCode::NORMAL_CLOSURE, "").await?)
    });
    Ok(response)
}
