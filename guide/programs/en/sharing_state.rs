use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use ws_std::{Callbacks, Server};

// ANCHOR: state
/// The state that all connections share.
#[derive(Default)]
struct Votes(Mutex<BTreeMap<String, u32>>);

/// The state of one connection.
struct Voter {
    name: String,
}

impl Votes {
    fn count(&self, choice: &str) -> u32 {
        let mut votes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = votes.entry(choice.to_owned()).or_default();
        *count += 1;
        *count
    }
}
// ANCHOR_END: state

fn main() -> Result<(), ws_std::Error> {
    // ANCHOR: handler
    let votes = Arc::new(Votes::default());
    let shared = votes.clone();
    let server = Server::new().route("/handler", move |_request, mut ws| {
        while let Some(message) = ws.receive()? {
            let count = shared.count(message.as_text().unwrap_or("?"));
            ws.send(format!("{message}: {count}"))?;
        }
        Ok(())
    });
    // ANCHOR_END: handler
    // ANCHOR: callbacks
    let callbacks = Callbacks::new()
        .on_connect(|session| {
            let name = session.header("User-Agent").unwrap_or("a voter").to_owned();
            session.set_data(Voter { name });
        })
        .on_message(move |session, message| {
            let count = votes.count(message.as_text().unwrap_or("?"));
            if let Some(voter) = session.data::<Voter>() {
                let _ = session.feed(format!("{}, {message}: {count}", voter.name));
            }
        });
    let server = server.mount("/callbacks", callbacks);
    // ANCHOR_END: callbacks
    let listener = server.bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(|| listener.serve());
    for path in ["handler", "callbacks"] {
        let mut ws = ws_std::connect(&format!("ws://{address}/{path}"))?;
        ws.send("rust")?;
        println!("{}", ws.receive()?.expect("a message"));
    }
    Ok(())
}
