use proptest::{collection::vec, prelude::*};

use crate::testing::Head;

/// Creates an entry that a client may send in a list of tokens.
fn token() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-d]", 1 => "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}"]
}

fn extensions() -> impl Strategy<Value = String> {
    let parameter = prop_oneof![
        Just("; server_no_context_takeover".to_owned()),
        Just("; client_no_context_takeover".to_owned()),
        Just("; client_max_window_bits".to_owned()),
        (7..17_u8).prop_map(|bits| format!("; client_max_window_bits={bits}")),
        (7..17_u8).prop_map(|bits| format!("; server_max_window_bits=\"{bits}\"")),
        token().prop_map(|token| format!("; {token}")),
    ];
    let extension =
        (prop_oneof![4 => Just("permessage-deflate".to_owned()), 1 => token()], vec(parameter, 0..4))
            .prop_map(|(name, parameters)| name + &parameters.concat());
    vec(extension, 1..3).prop_map(|extensions| extensions.join(", "))
}

/// Creates additional lines that any head may contain.
fn more_lines() -> impl Strategy<Value = Vec<String>> {
    let line = prop_oneof![
        4 => ("X-[A-Za-z]{1,5}", "[ -~]{0,20}").prop_map(|(name, value)| format!("{name}: {value}")),
        2 => vec(token(), 1..4).prop_map(|tokens| format!("Sec-WebSocket-Protocol: {}", tokens.join(", "))),
        2 => extensions().prop_map(|extensions| format!("Sec-WebSocket-Extensions: {extensions}")),
        1 => Just("Origin: http://server.example.com".to_owned()),
        1 => "[A-Za-z-]{1,12}: ?\\PC{0,20}",
    ];
    vec(line, 0..4)
}

/// Applies a change to a valid head.
fn spoiled(head: Head, change: (u8, prop::sample::Index, String)) -> Head {
    let (kind, at, text) = change;
    let mut lines = head.into_lines();
    let place = at.index(lines.len());
    match kind {
        0 => drop(lines.remove(place)),
        1 => lines.push(lines[place].clone()),
        2 => lines[place] = text.into_bytes(),
        3 => lines[place].extend_from_slice(text.as_bytes()),
        4 => {
            let cut = at.index(lines[place].len().max(1));
            lines[place].truncate(cut);
        }
        _ => {}
    }
    Head::new(lines)
}

/// Creates a valid head, or, one time in three, an invalid one.
fn perhaps_spoiled(head: impl Strategy<Value = Head>) -> impl Strategy<Value = Head> {
    let change = (prop_oneof![6 => Just(5_u8), 3 => 0..5_u8], any::<prop::sample::Index>(), "\\PC{0,12}");
    (head, change).prop_map(|(head, change)| spoiled(head, change))
}

/// Creates a client's request. Most of them must be accepted.
pub fn request() -> impl Strategy<Value = Head> {
    let target = "/[a-z0-9/%?=&.~-]{0,20}";
    let head = (target, any::<[u8; 16]>(), more_lines()).prop_map(|(target, nonce, lines)| {
        let head = Head::request().first_line(format!("GET {target} HTTP/1.1"));
        let head = head.set("Sec-WebSocket-Key", Head::key(nonce));
        lines.into_iter().fold(head, Head::with)
    });
    perhaps_spoiled(head)
}

/// Creates a server's response to `request`. Most of them accept the WebSocket.
pub fn response(request: &[u8]) -> impl Strategy<Value = Head> + use<> {
    let accepting = Head::response_to(request);
    let head =
        (prop_oneof![6 => Just(101), 2 => 100..600_u16], more_lines()).prop_map(move |(status, lines)| {
            let head = accepting.clone();
            let head =
                if status == 101 { head } else { head.first_line(format!("HTTP/1.1 {status} whatever")) };
            lines.into_iter().fold(head, Head::with)
        });
    perhaps_spoiled(head)
}

/// Creates a request, or a response to the request of [`Head::request`].
pub fn head() -> impl Strategy<Value = Head> {
    prop_oneof![request(), response(&Head::request().bytes())]
}
