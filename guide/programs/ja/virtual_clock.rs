use std::{sync::Arc, time::Duration};

use ws_core::{Config, Connection, Event, Role, SendError, testing::Pair};

// ANCHOR: protocol
/// テスト対象のプロトコルです。`7 the question` に `7 THE QUESTION` と応答します。ソケットも時計も使いません。
fn answer(connection: &mut Connection, event: &Event<'_>) -> Result<(), SendError> {
    if let Event::Message(message) = event
        && let Some((number, question)) = message.as_text().and_then(|text| text.split_once(' '))
    {
        connection.reply(format!("{number} {}", question.to_uppercase()))?;
    }
    Ok(())
}
// ANCHOR_END: protocol

fn main() -> Result<(), SendError> {
    // ANCHOR: messages
    // 2 つの接続と、遅延や分割のあるネットワークです。ソケットもスレッドも待ち時間もありません。
    let mut pair = Pair::open(Arc::new(Config::default()));
    pair.link(Role::Client).delay(Duration::from_secs(3));
    pair.link(Role::Server).delay(Duration::from_secs(4)).pieces([1].into_iter().cycle());
    pair.client().send("7 the question")?;
    while let Some((role, event)) = pair.next_event() {
        match role {
            Role::Server => answer(pair.server(), &event)?,
            Role::Client => {
                println!("after {:?}: {event:?}", Duration::from(pair.now()));
                break;
            }
        }
    }
    // ANCHOR_END: messages
    // ANCHOR: silence
    // ここから先、サーバーからは何も届きません。2 分が一瞬で過ぎます。
    pair.link(Role::Server).silence_after(0);
    pair.advance(Duration::from_secs(120));
    println!("{}", pair.client().close_info().expect("the end"));
    // ANCHOR_END: silence
    Ok(())
}
