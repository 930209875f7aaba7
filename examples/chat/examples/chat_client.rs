//! A chat client for the terminal: sends each typed line and prints the events of the room. When the connection is
//! lost, it reconnects and receives the messages that it missed, if the server still has them.
//!
//! `cargo run --release --example chat_client -- NICK ws://127.0.0.1:9001/lobby`

use std::{
    env,
    error::Error,
    io, mem, process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use ws_chat::{Output, Visit, reconnect_policy};
use ws_std::{CancelHandle, Client, CloseCode, Message, Sender, WebSocket};

fn main() {
    if let Err(error) = run() {
        eprintln!("chat_client: {error}");
        process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments = env::args().skip(1).collect::<Vec<_>>();
    let [nick, url] = &arguments[..] else {
        return Err("usage: chat_client NICK URL, such as Ann ws://127.0.0.1:9001/lobby".into());
    };
    let mut visit = Visit::new(nick);
    let cancel = CancelHandle::new()?;
    let typing = Typing { cancel: cancel.clone(), state: Arc::default() };
    let connections = Client::new(url).cancel_with(&cancel).reconnect(reconnect_policy());
    let connections = connections.before_attempt(|client, attempt| {
        if let Some(error) = attempt.error {
            println!("* {error}. Connecting again");
        }
        client
    });
    for ws in connections {
        talk(&mut visit, &mut ws?, &typing)?;
    }
    Ok(())
}

/// Prints events until the connection ends.
fn talk(visit: &mut Visit, ws: &mut WebSocket, typing: &Typing) -> Result<(), Box<dyn Error>> {
    // If it fails, `receive` returns the reason.
    let _ = ws.send(visit.join());
    loop {
        if visit.has_joined() {
            typing.send_on(ws);
        }
        match ws.receive() {
            Ok(Some(Message::Text(text))) => match visit.receive(&text) {
                Output::Line(line) => println!("{line}"),
                Output::Nothing => {}
                Output::Refused(why) => return Err(why.into()),
            },
            Ok(Some(Message::Binary(_))) => {}
            // The iterator of the connections prints the reason.
            Ok(None) | Err(_) => return Ok(()),
        }
    }
}

/// The lines typed in the terminal, which go out on the current connection.
#[derive(Clone)]
struct Typing {
    cancel: CancelHandle,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    started: bool,
    sender: Option<Sender>,
}

impl Typing {
    /// Sends all further lines on this connection.
    fn send_on(&self, ws: &WebSocket) {
        let mut state = self.state();
        state.sender = Some(ws.sender());
        if !mem::replace(&mut state.started, true) {
            let typing = self.clone();
            thread::spawn(move || typing.read());
        }
    }

    fn read(&self) {
        for line in io::stdin().lines().map_while(Result::ok) {
            let sender = self.state().sender.clone();
            if sender.is_none_or(|sender| sender.send(Visit::say(&line)).is_err()) {
                println!("* not connected, this was not sent: {line}");
            }
        }
        // The end of the input ends the client and closes the connection.
        self.cancel.cancel();
        if let Some(sender) = self.state().sender.take() {
            let _ = sender.close(CloseCode::NORMAL_CLOSURE, "bye");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
