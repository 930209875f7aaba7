//! Serves any number of connections on four threads. Each connection is a task, and any free thread continues it.
//! Each client receives the id of the thread on which its handler started.
//!
//! `cargo run --example smol_thread_pool -- [ADDRESS]`

use std::{future::pending, sync::Arc, thread};

use smol::Executor;
use ws_smol::{Error, Server};

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let executor = Arc::new(Executor::new());
    for _ in 0..4 {
        let executor = executor.clone();
        thread::spawn(move || smol::block_on(executor.run(pending::<()>())));
    }
    let server = Server::new().route("/", |_request, mut ws| async move {
        ws.send(format!("{:?}", thread::current().id())).await?;
        while let Some(message) = ws.receive().await? {
            ws.feed(message).await?;
        }
        Ok(())
    });
    let listener = server.spawner(move |task| executor.spawn(task).detach()).bind(address)?;
    println!("listening on ws://{}", listener.local_addr()?);
    smol::block_on(listener.serve())
}
