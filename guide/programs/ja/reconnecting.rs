use std::{thread, time::Duration};

use ws_std::{Client, CloseCode, Error, ReconnectPolicy, Server};

fn main() -> Result<(), Error> {
    // 再起動したかのように、2 つのメッセージの後で接続を閉じるサーバーです。
    let server = Server::new().route("/", |_request, mut ws| {
        let message = ws.receive()?;
        let last: u32 = message.and_then(|message| message.as_text()?.parse().ok()).unwrap_or(0);
        for number in last + 1..=last + 2 {
            ws.send(format!("{number}"))?;
        }
        Ok(ws.close(CloseCode::GOING_AWAY, "a restart")?)
    });
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    // ANCHOR: client
    let mut policy = ReconnectPolicy::default();
    policy.first_delay = Duration::from_millis(100);
    policy.max_delay = Duration::from_secs(30);
    let mut last = 0_u32;
    for ws in Client::new(&url).reconnect(policy) {
        // エラーは最後の要素です。再接続では直せません。
        let mut ws = ws?;
        // 最後の番号の続きから始めます。
        ws.send(last.to_string())?;
        loop {
            match ws.receive() {
                Ok(Some(message)) => {
                    println!("received: {message}");
                    last = message.as_text().and_then(|text| text.parse().ok()).unwrap_or(last);
                }
                Ok(None) => break,
                Err(error) => {
                    eprintln!("{error}");
                    break;
                }
            }
        }
        if last >= 4 {
            break;
        }
    }
    // ANCHOR_END: client
    Ok(())
}
