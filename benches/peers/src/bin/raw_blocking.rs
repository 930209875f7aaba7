//! The lower bound for a blocking server: echoes bytes without a protocol, with a thread for each connection.

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
