use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use ws_smol::{CloseCode, Error, Server};

fn main() -> Result<(), Error> {
    // ANCHOR: handler
    let visits = Arc::new(AtomicU32::new(0));
    let server = Server::new().route("/", move |_request, ws| {
        // Each connection has a handle of its own, because its future outlives this closure.
        let visits = visits.clone();
        async move {
            let number = visits.fetch_add(1, Ordering::Relaxed) + 1;
            ws.send(format!("visit {number}")).await?;
            Ok(())
        }
    });
    // ANCHOR_END: handler
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/", listener.local_addr()?);
    thread::spawn(|| smol::block_on(listener.serve()));
    smol::block_on(async {
        for _ in 0..2 {
            let mut ws = ws_smol::connect(&url).await?;
            println!("{}", ws.receive().await?.expect("a message"));
            ws.close(CloseCode::NORMAL_CLOSURE, "").await?;
        }
        Ok(())
    })
}
