//! tungstenite の README にあるエコーサーバーです。

use std::{env, net::TcpListener, thread::spawn};

use ws_std::accept;

fn main() {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    let server = TcpListener::bind(address).unwrap();
    for stream in server.incoming() {
        spawn(move || {
            let mut websocket = accept(stream.unwrap()).unwrap();
            // メッセージだけを返します。ping には自動で応答し、正常に閉じた後は `None` を返します。
            while let Some(msg) = websocket.receive().unwrap() {
                websocket.send(msg).unwrap();
            }
        });
    }
}
