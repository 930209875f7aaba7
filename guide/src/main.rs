#![forbid(unsafe_code)]
//! Builds the guide: `cargo run -p ws-guide` writes `target/guide/en` and `target/guide/ja`.

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
};

use mdbook_driver::{MDBook, book::Book, errors::Result};
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};

fn main() -> Result<(), Box<dyn Error>> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = env::args_os().nth(1).map_or_else(|| guide.join("../target/guide"), PathBuf::from);
    for language in ["en", "ja"] {
        let mut book = MDBook::load(guide.join(language))?;
        book.config.build.build_dir = output.join(language);
        book.with_preprocessor(Unindent);
        book.build()?;
        println!("{}", output.join(language).join("index.html").display());
    }
    Ok(())
}

/// Removes the indentation that all lines of a code block have in common. A part of a program is indented as it is in the
/// program.
struct Unindent;

impl Preprocessor for Unindent {
    fn name(&self) -> &str {
        "unindent"
    }

    fn run(&self, _: &PreprocessorContext, mut book: Book) -> Result<Book> {
        book.for_each_chapter_mut(|chapter| chapter.content = unindent_blocks(&chapter.content));
        Ok(book)
    }
}

fn unindent_blocks(page: &str) -> String {
    let blocks = page.split("```").enumerate();
    let blocks =
        blocks.map(|(number, block)| if number % 2 == 1 { unindent(block) } else { block.to_owned() });
    blocks.collect::<Vec<_>>().join("```")
}

/// Removes the indentation of all lines except the first, which is the language of the block.
fn unindent(block: &str) -> String {
    let lines = || block.lines().skip(1).filter(|line| !line.trim().is_empty());
    let indent = lines().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let mut lines = block.split('\n');
    let language = lines.next().unwrap_or_default();
    let code = lines.map(|line| line.get(indent..).unwrap_or_default());
    [language].into_iter().chain(code).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::unindent_blocks;

    #[test]
    fn code_blocks_lose_their_common_indentation_and_text_stays() {
        let page = "    text\n```rust\n    if true {\n\n        run();\n    }\n```\n    text\n";
        let expected = "    text\n```rust\nif true {\n\n    run();\n}\n```\n    text\n";
        assert_eq!(unindent_blocks(page), expected);
    }
}
