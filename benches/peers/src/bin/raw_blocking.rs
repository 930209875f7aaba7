//! The floor for a blocking server: echoes bytes, a thread for each connection, and knows no protocol.

use std::io::{self, Read as _, Write as _};

use ws_bench_peers::{Error, Options, on_threads};

fn main() -> Result<(), Error> {
    Ok(on_threads(&Options::parse(&[])?, "tcp", |mut stream| {
        let mut buffer = vec![0; 64 << 10];
        while let read @ 1.. = stream.read(&mut buffer)? {
            stream.write_all(&buffer[..read])?;
        }
        Ok::<_, io::Error>(())
    })?)
}
