#![forbid(unsafe_code)]
//! Builds the guide: `cargo run -p ws-guide` writes `target/guide/en` and `target/guide/ja`.

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
};

use mdbook_driver::MDBook;

fn main() -> Result<(), Box<dyn Error>> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = env::args_os().nth(1).map_or_else(|| guide.join("../target/guide"), PathBuf::from);
    for language in ["en", "ja"] {
        let mut book = MDBook::load(guide.join(language))?;
        book.config.build.build_dir = output.join(language);
        book.build()?;
        println!("{}", output.join(language).join("index.html").display());
    }
    Ok(())
}
