use std::{sync::Arc, time::Duration};

use ws_core::{Config, Connection, Event, Role, SendError, testing::Pair};

// ANCHOR: protocol
/// The protocol under test: a request `7 the question` is answered by `7 THE QUESTION`. It uses no socket and no clock.
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
    // Two connections, and a network that delays and splits. No socket, no thread, no waiting.
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
    // From here on nothing arrives from the server. Two minutes pass at once.
    pair.link(Role::Server).silence_after(0);
    pair.advance(Duration::from_secs(120));
    println!("{}", pair.client().close_info().expect("the end"));
    // ANCHOR_END: silence
    Ok(())
}
