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

use ws_chat::{Output, Visit};
use ws_std::{Client, CloseCode, Message, Sender, WebSocket};

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
    let typing = Typing::default();
    let mut ws = Client::new(url).connect()?;
    loop {
        let ended = talk(&mut visit, &mut ws, &typing)?;
        if typing.has_ended() {
            return Ok(());
        }
        println!("* {ended}");
        ws = loop {
            let wait = visit.next_wait();
            println!("* connecting again in {:.1} s", wait.as_secs_f64());
            thread::sleep(wait); // so that reconnecting clients do not overload a restarted server
            match Client::new(url).connect() {
                Ok(ws) => break ws,
                Err(error) => println!("* {error}"),
            }
        };
    }
}

/// Prints events until the connection ends. Returns the reason of the end.
fn talk(visit: &mut Visit, ws: &mut WebSocket, typing: &Typing) -> Result<String, Box<dyn Error>> {
    ws.send(visit.join())?;
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
            Ok(None) => {
                return Ok(ws.close_info().map_or_else(String::new, |close_info| close_info.to_string()));
            }
            Err(error) => return Ok(error.to_string()),
        }
    }
}

/// The lines typed in the terminal, which go out on the current connection.
#[derive(Clone, Default)]
struct Typing(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    started: bool,
    ended: bool,
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
        // The end of the input closes the connection.
        let mut state = self.state();
        state.ended = true;
        if let Some(sender) = state.sender.take() {
            let _ = sender.close(CloseCode::NORMAL_CLOSURE, "bye");
        }
    }

    fn has_ended(&self) -> bool {
        self.state().ended
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
