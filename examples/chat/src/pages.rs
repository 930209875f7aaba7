use ws_core::{Response, server::Request};
use ws_sessions::{ServerMetrics, ServerStats};

use crate::Chat;

/// A handler of ordinary HTTP requests.
pub type Page = Box<dyn Fn(&Request) -> Response + Send + Sync>;

/// Returns the HTTP pages by path: the chat page on `/` and `/:room`, its script and style sheet, the health check
/// `/healthz` and the metrics `/metrics`. The page of a room is refused for the same reasons as its WebSocket, because
/// browsers hide the response that refuses a WebSocket.
#[must_use]
pub fn pages(chat: &Chat, monitor: ServerMetrics) -> Vec<(&'static str, Page)> {
    let metrics = move |_: &Request| {
        let text = monitor.stats().to_prometheus();
        Response::new(200).header("Content-Type", ServerStats::PROMETHEUS).body(text)
    };
    // Built once: all clients that read a page share its memory.
    let page = page();
    let script = asset("text/javascript", include_str!("page/chat.js"));
    let style = asset("text/css", include_str!("page/chat.css"));
    let (check, of_room) = (chat.check(), page.clone());
    let room = move |request: &Request| check(request).map_or_else(|refused| refused, |_| of_room.clone());
    vec![
        ("/", Box::new(move |_| page.clone())),
        ("/:room", Box::new(room)),
        ("/assets/chat.js", Box::new(move |_| script.clone())),
        ("/assets/chat.css", Box::new(move |_| style.clone())),
        ("/healthz", Box::new(|_| Response::new(200).text("ok\n"))),
        ("/metrics", Box::new(metrics)),
    ]
}

fn page() -> Response {
    // The page runs only its own script and connects only to its own server.
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                  img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    Response::new(200)
        .header("Content-Security-Policy", policy)
        .header("Cache-Control", "no-cache")
        .html(include_str!("page/chat.html"))
}

fn asset(kind: &str, text: &str) -> Response {
    Response::new(200)
        .header("Content-Type", &format!("{kind}; charset=utf-8"))
        .header("Cache-Control", "no-cache")
        .body(text)
}
