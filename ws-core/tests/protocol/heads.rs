//! The expected results in `heads.txt`, for each head as a whole, byte by byte, and followed by the next bytes of the
//! stream.

use std::{collections::BTreeSet, sync::Arc};

use ws_core::{Config, OriginPolicy, Timestamp, server::Accept};

use crate::support::{http::ask, limits};

const CASES: &str = include_str!("heads.txt");

/// Returns the bytes of an escaped head.
fn unescaped(head: &str) -> Vec<u8> {
    let head = head.replace("{ws}", "{u}{k}").replace("{h}", "Host: a.example\\r\\n");
    let head = head
        .replace("{u}", "Upgrade: websocket\\r\\nConnection: Upgrade\\r\\n")
        .replace("{k}", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nSec-WebSocket-Version: 13\\r\\n");
    let mut bytes = Vec::new();
    let mut characters = head.chars();
    while let Some(character) = characters.next() {
        let escape = if character == '\\' { characters.next() } else { None };
        match (character, escape) {
            ('\\', Some('r')) => bytes.push(b'\r'),
            ('\\', Some('n')) => bytes.push(b'\n'),
            ('\\', Some('t')) => bytes.push(b'\t'),
            ('\\', Some('\\')) => bytes.push(b'\\'),
            ('\\', Some('x')) => {
                let digits: String = characters.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&digits, 16).expect("two hexadecimal digits"));
            }
            (character, None) if character.is_ascii() => bytes.push(character as u8),
            other => panic!("{other:?} in {head}"),
        }
    }
    bytes
}

/// Returns the result of a server for these bytes in pieces of these sizes.
fn verdict(config: &Arc<Config>, bytes: &[u8], sizes: &[usize]) -> String {
    let request = match ask(&limits(|_| {}), bytes, sizes) {
        Ok(None) => return "more".to_owned(),
        Ok(Some((request, _))) => request,
        Err(error) => return error.status().to_string(),
    };
    if !request.is_upgrade() {
        return "200".to_owned();
    }
    let upgraded = request.upgrade(&OriginPolicy::default());
    let accepted =
        upgraded.and_then(|upgrade| upgrade.accept(&Accept::new(), config.clone(), Timestamp::ZERO));
    accepted.map_or_else(|error| error.status().to_string(), |_| "101".to_owned())
}

#[test]
fn every_head_gets_the_verdict_of_its_clause_however_it_is_cut() {
    let config = Arc::new(Config::default());
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for line in CASES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut parts = line.splitn(3, " | ");
        let mut part = || parts.next().expect("verdict, clause and head");
        let (expected, clause, head) = (part(), part(), part());
        assert!(clause.starts_with("RFC "), "{line}");
        assert!(seen.insert(head), "{head} is there twice");
        let bytes = unescaped(head);
        let glued = [&bytes[..], &[0x81; 20]].concat();
        let glued = if expected == "more" { &bytes } else { &glued };
        for (bytes, sizes) in
            [(&bytes, &[usize::MAX][..]), (&bytes, &[1]), (&bytes, &[3, 7]), (glued, &[usize::MAX])]
        {
            let actual = verdict(&config, bytes, sizes);
            if actual != expected {
                wrong.push(format!("{actual} instead of {line} (in pieces of {sizes:?})"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen.len() >= 200, "{} cases", seen.len());
}
