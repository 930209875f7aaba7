//! Features of the dependencies of the published crates, as a user gets them. In this workspace they are unified with
//! the features for tests and benchmarks, which would hide a missing one.

use std::{env, process::Command};

/// Returns the features of each dependency of `package` with its default features, as lines such as `bytes
/// v1.11.1|std`.
fn features_below(package: &str) -> String {
    features_with(package, &[])
}

/// Same as [`features_below`], with further arguments such as features.
fn features_with(package: &str, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", package, "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}|{f}"])
        .args(arguments)
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
        let tree = features_with(package, &["--all-features"]);
        assert!(tree.starts_with(package), "{tree}");
        for runtime in ["tokio", "tokio-util", "hyper", "axum", "async-std"] {
            assert!(!contains(&tree, runtime), "{package}: {runtime}");
        }
    }
}

fn contains(tree: &str, library: &str) -> bool {
    tree.lines().any(|line| line.starts_with(&format!("{library} v")))
}

#[test]
fn the_test_kit_brings_no_dependencies_of_its_own() {
    let tree = features_with("ws-core", &["--features", "testing"]);
    let libraries = |tree: &str| {
        let mut names: Vec<_> =
            tree.lines().filter_map(|line| Some(line.split_once(" v")?.0.to_owned())).collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(libraries(&tree), libraries(&features_below("ws-core")));
    assert!(contains(&features_with("ws-core", &["--features", "proptest"]), "proptest"));
    assert!(contains(&features_with("ws-core", &["--features", "arbitrary"]), "arbitrary"));
}

#[test]
fn json_addresses_and_tests_cost_nothing_without_their_features() {
    for package in ["ws-core", "ws-transport", "ws-std", "ws-smol"] {
        let tree = features_below(package);
        for library in ["serde_core", "serde_json", "url", "futures-sink", "proptest", "arbitrary", "http"] {
            assert!(!contains(&tree, library), "{package}: {library}");
        }
    }
    for package in ["ws-std", "ws-smol"] {
        let tree = features_with(package, &["--features", "serde,testing,url"]);
        for library in ["serde_json", "url"] {
            assert!(contains(&tree, library), "{package}: {library}");
        }
    }
}
