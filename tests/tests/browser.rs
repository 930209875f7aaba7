//! The chat page in a real browser, driven by `browser/chat.mjs`.

use std::{path::Path, process::Command};

use ws_tests::programs;

/// Runs several tabs against a chat server, which the script starts and stops.
fn people_talk_through(program: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/chat.mjs");
    let ran = Command::new("node").arg(script).arg(programs().join(program)).output().expect("node");
    let (said, complained) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.ends_with("all seen\n"), "{said}\n{complained}");
}

#[test]
fn people_talk_through_the_page_of_ws_std() {
    people_talk_through("chat_server");
}

#[test]
fn people_talk_through_the_page_of_ws_smol() {
    people_talk_through("smol_chat_server");
}
