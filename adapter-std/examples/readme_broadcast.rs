//! A chat: each message is sent to all.

use ws_std::{Callbacks, Server, Sessions};

fn main() -> Result<(), ws_std::Error> {
    let sessions = Sessions::new();
    let (for_messages, for_ends) = (sessions.clone(), sessions.clone());
    let chat = Callbacks::new()
        .sessions(&sessions)
        .on_message(move |session, message| {
            for_messages.broadcast(format!("{}: {message}", session.id()));
        })
        .on_disconnect(move |session, close_info| {
            for_ends.broadcast(format!("{} left: {close_info}", session.id()));
        });
    Server::new().mount("/chat", chat).listen("127.0.0.1:9002")
}
