//! Features of the libraries below the published crates, as a user gets them. In this workspace they are unified with
//! those that tests and benchmarks ask for, which would hide that one is missing.

use std::{env, process::Command};

/// The features of each library below `package` with its default features, as lines such as `bytes v1.11.1|std`.
fn features_below(package: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", package, "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}|{f}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn libraries_choose_their_instruction_sets_at_run_time_for_users_too() {
    for package in ["ws-std", "ws-smol"] {
        let tree = features_below(package);
        // These look for AVX2 only with `std`. Without it the codec has half its speed.
        for library in ["zlib-rs", "simdutf8", "httparse"] {
            let line = tree.lines().find(|line| line.starts_with(&format!("{library} v")));
            let (_, features) = line.and_then(|line| line.split_once('|')).expect(library);
            assert!(
                features.split(',').any(|feature| feature == "std"),
                "{package}: {library} has {features:?}"
            );
        }
    }
}
