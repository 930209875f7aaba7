//! The pages of the guide: both languages have the same pages and programs, and every link leads somewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use ws_tests::Folder;

const LANGUAGES: [&str; 2] = ["en", "ja"];

/// Fewest pages of the guide in each language.
const MIN_PAGES: usize = 45;

/// Fewest Japanese characters of a Japanese page.
const MIN_JAPANESE: usize = 200;

fn guide() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the paths of all files below a folder with this extension, relative to the folder.
fn files(folder: &Path, extension: &str) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display())) {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.insert(path.strip_prefix(folder).expect("a path below the folder").to_owned());
            }
        }
    }
    files
}

fn pages(language: &str) -> BTreeMap<PathBuf, String> {
    let folder = guide().join(language).join("src");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(folder.join(&path)).expect("a page");
        (path, text)
    };
    files(&folder, "md").into_iter().map(read).collect()
}

fn events(page: &str) -> impl Iterator<Item = Event<'_>> {
    Parser::new_ext(page, Options::ENABLE_TABLES | Options::ENABLE_HEADING_ATTRIBUTES)
}

/// Returns the targets of all links and pictures of a page.
fn links(page: &str) -> Vec<String> {
    events(page)
        .filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url.into_string())
            }
            _ => None,
        })
        .collect()
}

/// Returns the language and the text of each block of code.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut inside = false;
    for event in events(page) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                blocks.push((language.into_string(), String::new()));
                inside = true;
            }
            Event::End(TagEnd::CodeBlock) => inside = false,
            Event::Text(text) if inside => blocks.last_mut().expect("a block").1.push_str(&text),
            _ => {}
        }
    }
    blocks
}

/// Returns the explicit ids of headings, in the order of the page.
fn ids(page: &str) -> Vec<String> {
    events(page)
        .filter_map(|event| match event {
            Event::Start(Tag::Heading { id: Some(id), .. }) => Some(id.into_string()),
            _ => None,
        })
        .collect()
}

/// Returns the included files of a page with their anchors, without the name of the language. A Japanese page includes a
/// translated copy of an example.
fn includes(page: &str, language: &str) -> Vec<String> {
    page.split("{{#include ")
        .skip(1)
        .map(|rest| rest.split_once("}}").expect("the end of an include").0)
        .map(|path| path.replace(&format!("programs/{language}/examples/"), "../examples/"))
        .map(|path| path.replace(&format!("programs/{language}/"), "programs/"))
        .collect()
}

fn is_japanese(character: &char) -> bool {
    matches!(character, '\u{3041}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}')
}

/// Builds the guide as HTML in a folder of the test's own.
fn build() -> Folder {
    let output = Folder::new();
    let built = Command::new(env!("CARGO_BIN_EXE_guide")).arg(output.file("")).output().expect("the program");
    let complaints = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{complaints}");
    assert!(!complaints.contains("ERROR") && !complaints.contains("WARN"), "{complaints}");
    output
}

#[test]
fn both_languages_have_the_same_pages() {
    let [english, japanese] = LANGUAGES.map(|language| pages(language).into_keys().collect::<Vec<_>>());
    assert_eq!(english, japanese);
    // The table of contents is no page.
    assert!(english.len() > MIN_PAGES, "{} pages", english.len() - 1);
}

#[test]
fn each_page_is_in_the_table_of_contents_and_in_the_same_place() {
    let [english, japanese] = LANGUAGES.map(|language| {
        let pages = pages(language);
        let summary = links(&pages[Path::new("SUMMARY.md")]);
        let listed: BTreeSet<PathBuf> = summary.iter().map(PathBuf::from).collect();
        assert_eq!(listed.len(), summary.len(), "a page is listed twice");
        let all: BTreeSet<PathBuf> =
            pages.into_keys().filter(|path| path != Path::new("SUMMARY.md")).collect();
        assert_eq!(listed, all);
        summary
    });
    assert_eq!(english, japanese);
}

#[test]
fn both_languages_have_the_same_headings_programs_and_blocks() {
    let [english, japanese] = LANGUAGES.map(pages);
    for (path, page) in english {
        let other = &japanese[&path];
        let name = path.display();
        assert_eq!(ids(&page), ids(other), "headings with ids of {name}");
        assert_eq!(includes(&page, "en"), includes(other, "ja"), "programs of {name}");
        let languages = |page| blocks(page).into_iter().map(|block| block.0).collect::<Vec<_>>();
        assert_eq!(languages(&page), languages(other), "blocks of {name}");
    }
}

#[test]
fn each_rust_block_is_included_from_a_program() {
    for language in LANGUAGES {
        for (path, page) in pages(language) {
            for (kind, text) in blocks(&page) {
                if kind.starts_with("rust") {
                    assert!(text.starts_with("{{#include "), "{language}/{}: {text}", path.display());
                }
            }
        }
    }
}

#[test]
fn each_program_is_printed_by_a_page() {
    let printed: BTreeSet<String> = pages("en").values().flat_map(|page| includes(page, "en")).collect();
    for program in files(&guide().join("programs/en"), "rs") {
        if program == Path::new("main.rs") {
            continue;
        }
        let name = program.to_str().expect("a name in UTF-8");
        assert!(printed.iter().any(|path| path.contains(&format!("programs/{name}"))), "{name}");
    }
}

/// Returns the lines of a program without comments.
fn code(program: &str) -> Vec<&str> {
    let lines = program.lines().filter(|line| !is_comment(line));
    lines.map(|line| line.split_once(" // ").map_or(line, |(code, _)| code)).collect()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//") && !line.contains("ANCHOR")
}

#[test]
fn programs_of_both_languages_differ_by_comments_alone() {
    let folder = |language| guide().join("programs").join(language);
    let [mut english, japanese] = LANGUAGES.map(|language| files(&folder(language), "rs"));
    english.remove(Path::new("main.rs"));
    let examples: BTreeSet<_> =
        japanese.iter().filter(|path| path.starts_with("examples")).cloned().collect();
    assert_eq!(&english | &examples, japanese);
    for program in japanese {
        // A page in English includes an example of the project itself.
        let original = if examples.contains(&program) { guide().join("..") } else { folder("en") };
        let [english, japanese] = [original, folder("ja")]
            .map(|folder| fs::read_to_string(folder.join(&program)).expect("a program"));
        assert_eq!(code(&english), code(&japanese), "{}", program.display());
        for line in japanese.lines().filter(|line| is_comment(line)) {
            assert!(line.chars().any(|c| is_japanese(&c)), "{}: {line}", program.display());
        }
    }
}

#[test]
fn each_japanese_page_is_written_in_japanese() {
    for (path, page) in pages("ja").into_iter().filter(|(path, _)| path != Path::new("SUMMARY.md")) {
        let count = page.chars().filter(is_japanese).count();
        assert!(count >= MIN_JAPANESE, "{}: {count} Japanese characters", path.display());
    }
}

/// Returns the ids of all elements of an HTML file.
fn ids_of_html(path: &Path) -> BTreeSet<String> {
    let html = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let ids = html.split(" id=\"").skip(1);
    ids.map(|rest| rest.split_once('"').expect("the end of an attribute").0.to_owned()).collect()
}

#[test]
fn each_link_leads_to_a_page_a_heading_or_a_file() {
    let output = build();
    for language in LANGUAGES {
        for (path, page) in pages(language) {
            for link in links(&page).into_iter().filter(|link| !link.contains("://")) {
                let place = format!("{language}/{}: {link}", path.display());
                let (target, id) = link.split_once('#').unwrap_or((&link, ""));
                let folder = path.parent().expect("a folder");
                let target = if target.is_empty() { path.clone() } else { folder.join(target) };
                let source = guide().join(language).join("src").join(&target);
                assert!(source.exists(), "{place} does not exist");
                if !id.is_empty() {
                    let html = output.file(language).join(target).with_extension("html");
                    assert!(ids_of_html(&html).contains(id), "{place} has no such heading");
                }
            }
        }
    }
}

#[test]
fn no_include_is_left_or_empty_in_the_built_pages() {
    let output = build();
    for language in LANGUAGES {
        for path in files(&output.file(language), "html") {
            let html = fs::read_to_string(output.file(language).join(&path)).expect("a page");
            assert!(!html.contains("{{#"), "{language}/{}", path.display());
            assert!(!html.contains("ANCHOR"), "{language}/{}", path.display());
        }
        for (path, page) in pages(language) {
            for include in page.split("{{#include ").skip(1) {
                let include = include.split_once("}}").expect("the end of an include").0;
                let (file, anchor) = include.split_once(':').unwrap_or((include, ""));
                let file =
                    guide().join(language).join("src").join(path.parent().expect("a folder")).join(file);
                let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{include}: {error}"));
                assert!(anchor.is_empty() || text.contains(&format!("ANCHOR: {anchor}\n")), "{include}");
            }
        }
    }
}

#[test]
fn both_readmes_print_the_same_programs_and_are_short() {
    let [english, japanese] = ["README.md", "README.ja.md"].map(|name| {
        let readme = fs::read_to_string(guide().join("..").join(name)).expect("a README");
        assert!(readme.lines().count() < 200, "{name} has {} lines", readme.lines().count());
        blocks(&readme)
    });
    assert_eq!(english.len(), japanese.len());
    for ((kind, english), (other, japanese)) in english.iter().zip(&japanese) {
        assert_eq!(kind, other);
        assert_eq!(code(english), code(japanese));
    }
}
