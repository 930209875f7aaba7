//! Writes the text of the benches of compression to stdout, for those in other languages.

fn main() {
    print!("{}", ws_benches::json());
}
