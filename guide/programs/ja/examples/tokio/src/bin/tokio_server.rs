//! `ws-core` と tokio のソケットによるエコーサーバーです: `tokio_server --listen 127.0.0.1:9001`。Ctrl-C ですべての
//! 接続を 1001 で閉じます。

use std::{env, error::Error, io, pin::pin, sync::Arc, time::Duration};

use tokio::{io::AsyncWriteExt as _, net::*, select, signal, task::JoinSet, time::timeout};
use ws_core::{CloseCode, Config, OriginPolicy, State, Timestamp, server::*};
use ws_example_tokio::{WebSocket, read_head};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = env::args().skip_while(|argument| argument != "--listen").nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:9001")).await?;
    println!("listening on ws://{}/", listener.local_addr()?);
    let mut config = Config::default();
    config.max_message_size = 64 << 20;
    let config = Arc::new(config);
    let (mut tasks, mut stop) = (JoinSet::new(), pin!(signal::ctrl_c()));
    loop {
        select! {
            Ok((stream, _)) = listener.accept() => drop(tasks.spawn(serve(stream, config.clone()))),
            Some(Ok(Err(error))) = tasks.join_next() => eprintln!("{error}"),
            _ = &mut stop => break,
        }
    }
    drop(listener);
    tasks.join_all().await;
    Ok(())
}

/// 1 つのクライアントを処理します。
async fn serve(stream: TcpStream, config: Arc<Config>) -> Result<()> {
    let mut ws = timeout(Duration::from_secs(10), open(stream, config)).await??;
    let mut stop = pin!(signal::ctrl_c());
    loop {
        let is_open = ws.connection.state() == State::Open;
        select! {
            message = ws.receive() => match message {
                Some(message) => drop(ws.connection.reply(message)), // 接続を閉じている間だけ失敗します
                None => return Ok(()),
            },
            _ = &mut stop, if is_open => ws.connection.close(CloseCode::GOING_AWAY, "the server stops")?,
        }
    }
}

/// 開始ハンドシェイクに応答します。
async fn open(mut stream: TcpStream, config: Arc<Config>) -> Result<WebSocket> {
    stream.set_nodelay(true)?;
    let mut handshake = Handshake::new(&Default::default(), Timestamp::ZERO);
    let received = read_head(&mut stream, |input| handshake.receive(input)).await;
    let opened = received.and_then(|(request, unread)| {
        let upgrade = request.upgrade(&OriginPolicy::default())?;
        Ok((upgrade.accept(&Accept::new(), config, Timestamp::ZERO)?, unread))
    });
    match opened {
        Ok((connection, unread)) => Ok(WebSocket::new(stream, connection, unread)),
        Err(error) => {
            stream.write_all(&error.response().to_bytes()).await?;
            Err(error.into())
        }
    }
}
