//! The terminal clients of the chat with a server that restarts.

use std::{path::PathBuf, process::Command, sync::LazyLock};

use ws_tests::{
    Process, Raw, RawListener, bounded, programs_of,
    wire::{self, Frame},
};

static PROGRAMS: LazyLock<PathBuf> = LazyLock::new(|| programs_of(&["ws-chat"]));

const WELCOME: &str =
    r#"{"type":"welcome","room":"lobby","nick":"Ann","people":["Ann"],"count":1,"missed":false}"#;

/// Accepts the client and welcomes it. Returns its request to join.
fn welcome(listener: &RawListener) -> (Raw, String) {
    let mut raw = listener.accept();
    let head = raw.head();
    raw.write(wire::response(&head));
    let join = String::from_utf8(raw.frame().payload).unwrap();
    raw.send_unmasked(&Frame::text(WELCOME));
    (raw, join)
}

fn a_chat_client_joins_again_until_the_end_of_its_input(program: &str) {
    let listener = RawListener::new();
    let mut client =
        Process::start(Command::new(PROGRAMS.join(program)).args(["Ann", &listener.url("/lobby")]));
    let (mut raw, join) = welcome(&listener);
    assert!(join.contains(r#""after":null"#), "{join}");
    assert_eq!(client.line(), "* you are in #lobby, with Ann");
    raw.send_unmasked(&Frame::text(r#"{"type":"event","id":"7-0","what":"said","nick":"Bob","text":"hi"}"#));
    assert_eq!(client.line(), "Bob: hi");
    raw.send_unmasked(&Frame::close(1001, ""));
    assert_eq!(raw.frame().code_and_reason().0, 1001);
    drop(raw);
    let (mut raw, join) = welcome(&listener);
    assert!(join.contains(r#""after":"7-0""#), "{join}");
    let line = client.line();
    assert!(line.contains("1001") && line.ends_with("Connecting again"), "{line}");
    assert_eq!(client.line(), "* you are in #lobby, with Ann");
    let ending = std::thread::spawn(move || client.finish());
    assert_eq!(raw.frame().code_and_reason(), (1000, "bye"));
    raw.send_unmasked(&Frame::close(1000, "bye"));
    drop(raw);
    let (status, lines, complaints) = ending.join().unwrap();
    assert!(status.success() && lines.is_empty() && complaints.is_empty(), "{lines:?} {complaints:?}");
}

#[test]
fn chat_client_joins_again() {
    LazyLock::force(&PROGRAMS);
    bounded(|| a_chat_client_joins_again_until_the_end_of_its_input("chat_client"));
}

#[test]
fn smol_chat_client_joins_again() {
    LazyLock::force(&PROGRAMS);
    bounded(|| a_chat_client_joins_again_until_the_end_of_its_input("smol_chat_client"));
}
