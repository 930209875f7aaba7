use std::{future::pending, sync::Arc, thread};

use ws_smol::{CloseCode, Error, Server};

fn main() -> Result<(), Error> {
    // ANCHOR: server
    let executor = Arc::new(smol::Executor::new());
    for _ in 0..4 {
        let executor = executor.clone();
        thread::spawn(move || smol::block_on(executor.run(pending::<()>())));
    }
    let server = Server::new().spawner(move |task| executor.spawn(task).detach());
    // ANCHOR_END: server
    let server = server.route("/", |_request, mut ws| async move {
        while let Some(message) = ws.receive().await? {
            ws.send(message).await?;
        }
        Ok(())
    });
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| smol::block_on(listener.serve()));
    smol::block_on(async {
        let mut ws = ws_smol::connect(&url).await?;
        ws.send("echo").await?;
        println!("{}", ws.receive().await?.expect("a message"));
        ws.close(CloseCode::NORMAL_CLOSURE, "").await
    })
}
