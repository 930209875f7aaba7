use ws_std::{Callbacks, Response, Server, Sessions};

fn main() -> Result<(), ws_std::Error> {
    let sessions = Sessions::new();
    let (for_messages, for_ends) = (sessions.clone(), sessions.clone());
    let chat = Callbacks::new()
        .sessions(&sessions)
        .on_connect(|session| {
            let _ = session.send(format!("welcome, you are {}", session.id()));
        })
        .on_message(move |session, message| {
            for_messages.broadcast(format!("{}: {message}", session.id()));
        })
        .on_disconnect(move |session, close_info| {
            for_ends.broadcast(format!("{} left: {close_info}", session.id()));
        });
    let page = Response::new(200).html(include_str!("chat_room.html"));
    Server::new().mount("/chat", chat).page("/", move |_request| page.clone()).listen("127.0.0.1:9106")
}
