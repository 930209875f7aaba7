//! The table of features of C++ libraries: each row names a test that exists.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The cells of each row.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| Feature");
    let cells = |line: &'static str| line.trim_matches('|').split(" | ").map(str::trim).collect();
    let page: &'static str = page.to_owned().leak();
    page.lines().filter(is_row).map(cells).collect()
}

/// The file of a test that the page calls `file::function`.
fn file_of(name: &str) -> PathBuf {
    let folder = if name.contains('/') { root().to_owned() } else { root().join("tests/tests") };
    folder.join(name).with_extension("rs")
}

#[test]
fn each_row_of_the_table_of_features_names_a_test_that_exists() {
    let page = fs::read_to_string(root().join("docs/features-of-cpp-libraries.md")).unwrap();
    let mut files = HashMap::new();
    let rows = rows(&page);
    assert!(rows.len() > 100, "{} rows", rows.len());
    for row in rows {
        let [_, _, ours, test] = row[..] else { panic!("not four cells: {row:?}") };
        assert!(!ours.is_empty(), "{row:?}");
        let (file, function) =
            test.trim_matches('`').split_once("::").unwrap_or_else(|| panic!("no test: {row:?}"));
        let source = files.entry(file.to_owned()).or_insert_with(|| {
            let path = file_of(file);
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        });
        assert!(source.contains(&format!("fn {function}(")), "there is no test {test}");
    }
}

#[test]
fn each_name_of_ours_in_the_table_of_features_exists() {
    let page = fs::read_to_string(root().join("docs/features-of-cpp-libraries.md")).unwrap();
    let mut sources = String::new();
    for folder in
        ["ws-core/src", "ws-transport/src", "ws-sessions/src", "adapter-std/src", "adapter-smol/src"]
    {
        collect(&root().join(folder), &mut sources);
    }
    for row in rows(&page) {
        for name in row[2].split('`').skip(1).step_by(2) {
            let Some((kind, item)) =
                name.trim_start_matches("ws_std::").trim_start_matches("ws_smol::").split_once("::")
            else {
                continue;
            };
            let exists = [
                format!("fn {item}"),
                format!("pub {item}:"),
                format!("    {item}("),
                format!("    {item},"),
            ];
            assert!(sources.contains(kind), "there is no {kind}");
            assert!(exists.iter().any(|text| sources.contains(text)), "there is no {name}");
        }
    }
}

/// Appends all Rust files below a folder.
fn collect(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else {
            sources.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
