//! Writes the text of the compression benches to stdout, for the benches in other languages.

fn main() {
    print!("{}", ws_benches::json());
}
