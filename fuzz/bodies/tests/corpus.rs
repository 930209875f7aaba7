//! Runs every target over its committed corpus and over random input.

use std::{fs, path::PathBuf};

use ws_fuzz_bodies::TARGETS;

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_target_holds_over_its_corpus() {
    for (target, body) in TARGETS {
        let inputs = corpus(target);
        assert!(!inputs.is_empty(), "the corpus of {target} is empty");
        for path in inputs {
            let input = fs::read(&path).unwrap();
            let outcome = std::panic::catch_unwind(|| body(&input));
            assert!(outcome.is_ok(), "{target} fails over {}", path.display());
        }
    }
}

#[test]
fn every_folder_of_the_corpus_belongs_to_a_target() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(TARGETS.iter().any(|(target, _)| name == *target), "{name:?} is no target");
    }
}

#[test]
fn every_target_holds_over_noise() {
    for (target, body) in TARGETS {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        for len in (0..120).cycle().take(1200) {
            let noise: Vec<u8> = (0..len)
                .map(|_| {
                    // xorshift64
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 32) as u8
                })
                .collect();
            let outcome = std::panic::catch_unwind(|| body(&noise));
            assert!(outcome.is_ok(), "{target} fails over {noise:?}");
        }
    }
}
