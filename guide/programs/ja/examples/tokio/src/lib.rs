//! tokio のソケットで `ws-core` を動かすドライバーです。クレートのドキュメントにある番号付きの規則に従います。

use std::{io::ErrorKind::WouldBlock, mem, ops::Range, time::Duration};

use bytes::Buf as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::{net::TcpStream, task::yield_now, time::Instant, time::timeout};
use ws_core::{Connection, Event, HandshakeError, Message, Timestamp};

/// 接続です。1 つのタスクに属します。
#[derive(Debug)]
pub struct WebSocket {
    /// ここにメッセージを入れると、次の [`receive`](Self::receive) が書き込みます。
    pub connection: Connection,
    stream: TcpStream,
    opened: Instant,
    buffer: Vec<u8>,
    unread: Range<usize>,
    is_shut_down: bool,
}

impl WebSocket {
    /// ストリーム、接続、未読の入力を持つバッファーから WebSocket を作ります。
    pub fn new(stream: TcpStream, connection: Connection, (buffer, unread): (Vec<u8>, Range<usize>)) -> Self {
        Self { connection, stream, opened: Instant::now(), buffer, unread, is_shut_down: false }
    }

    /// 次のメッセージを返します。接続が終わると `None` を返します。待つ間に、キューの
    /// メッセージを書き込み、ping に応答し、期限を守ります。`select!` のように、future はいつドロップしてもかまいません。
    pub async fn receive(&mut self) -> Option<Message<'static>> {
        loop {
            let mut input = &mut self.buffer[self.unread.clone()];
            let event = self.connection.receive(&mut input);
            self.unread.start = self.unread.end - input.len();
            match event {
                Ok(Some(Event::Message(message))) => return Some(message.into_owned()),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) if self.connection.is_finished() => return None,
                Ok(None) | Err(_) => self.turn().await,
            }
        }
    }

    /// 書き込みと読み込みをします。入力がなければ、時刻を報告して待ちます。待つ間はバイト列を動かしません。
    async fn turn(&mut self) {
        self.write();
        if self.connection.wants_receive() {
            return yield_now().await; // この入力は時間がかかることがあるので、ほかのタスクを先にします
        }
        if self.connection.wants_read() {
            match self.stream.try_read(&mut self.buffer) {
                Ok(read @ 1..) => return self.unread = 0..read,
                Err(error) if error.kind() == WouldBlock => {}
                Ok(0) | Err(_) => self.connection.receive_eof(),
            }
        }
        let now = Timestamp::from(self.opened.elapsed());
        self.connection.handle_timeout(now);
        self.write();
        if self.connection.wants_shutdown() && !mem::replace(&mut self.is_shut_down, true) {
            let _ = self.stream.shutdown().await; // 待ちません
        }
        let interest = match (self.connection.wants_read(), self.connection.wants_write()) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (false, true) => Interest::WRITABLE,
            (_, false) => Interest::READABLE,
        };
        let due = self.connection.poll_timeout();
        let wait = due.map_or(Duration::MAX, |due| due.saturating_duration_since(now));
        let _ = timeout(wait, self.stream.ready(interest)).await;
    }

    /// ソケットが受け付けるだけ書き込みます。
    fn write(&mut self) {
        while self.connection.wants_write() {
            let written = self.stream.try_write(self.connection.transmit().chunk());
            match written {
                Ok(written) => self.connection.transmit().advance(written),
                Err(error) if error.kind() == WouldBlock => break,
                Err(_) => self.connection.discard_output(),
            }
        }
    }
}

/// `receive` がヘッドを受け取るまで読みます。結果と、その後のバイト列を持つバッファーを返します。
pub async fn read_head<T>(
    stream: &mut TcpStream,
    mut receive: impl FnMut(&mut &mut [u8]) -> Result<Option<T>, HandshakeError>,
) -> Result<(T, (Vec<u8>, Range<usize>)), HandshakeError> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = stream.read(&mut buffer).await.ok().filter(|&read| read > 0).ok_or(HandshakeError::Eof)?;
        let mut input = &mut buffer[..read];
        if let Some(head) = receive(&mut input)? {
            let unread = read - input.len()..read;
            return Ok((head, (buffer, unread)));
        }
    }
}
