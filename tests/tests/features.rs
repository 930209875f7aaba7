//! Features of the dependencies of the published crates, as a user gets them. In this workspace they are unified with
//! the features for tests and benchmarks, which would hide a missing one.

use std::{env, process::Command};

/// Returns the features of each dependency of `package` with its default features, as lines such as `bytes
/// v1.11.1|std`.
fn features_below(package: &str) -> String {
    tree(package, &[])
}

fn tree(package: &str, options: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", package, "--edges", "normal", "--prefix", "none"])
        .args(options)
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
        // These crates detect AVX2 only with `std`. Without it the codec has half its speed.
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

#[test]
fn no_library_depends_on_tokio_with_any_feature() {
    for package in ["ws-core", "ws-transport", "ws-sessions", "ws-std", "ws-smol"] {
        let tree = tree(package, &["--all-features"]);
        assert!(tree.starts_with(package), "{tree}");
        for runtime in ["tokio", "tokio-util", "hyper", "axum", "async-std"] {
            assert!(
                !tree.lines().any(|line| line.starts_with(&format!("{runtime} v"))),
                "{package}: {runtime}"
            );
        }
    }
}
