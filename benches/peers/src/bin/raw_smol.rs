//! The lower bound for an async server: echoes bytes without a protocol, with a task for each connection on one
//! thread.

use std::io;

use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use ws_bench_peers::{Error, Options, on_smol};

fn main() -> Result<(), Error> {
    Ok(on_smol(&Options::parse(&[])?, "tcp", async |mut stream| {
        let mut buffer = vec![0; 64 << 10];
        while let read @ 1.. = stream.read(&mut buffer).await? {
            stream.write_all(&buffer[..read]).await?;
        }
        Ok::<_, io::Error>(())
    })?)
}
