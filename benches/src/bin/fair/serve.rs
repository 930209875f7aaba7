//! The servers: an echo, a sink and a broadcast on one port, once for each adapter.

use ws_benches::server::end_with_parent;

use crate::Result;

/// Serves until standard input ends.
pub(crate) fn serve(adapter: &str) -> Result<()> {
    end_with_parent();
    match adapter {
        "std" => serve_std(),
        "smol" => serve_smol(),
        _ => Err("an adapter is std or smol".into()),
    }
}

macro_rules! server {
    ($adapter:ident, $echo:expr, $sink:expr) => {{
        use $adapter::{Callbacks, Deflate, Route, Server, Sessions};
        let audience = Sessions::new();
        let broadcast = Callbacks::new().on_message({
            let audience = audience.clone();
            move |_, message| {
                audience.broadcast(message);
            }
        });
        Server::new()
            .mount("/echo", Route::new($echo))
            .mount("/sink", Route::new($sink))
            .mount("/broadcast", Route::callbacks(broadcast))
            .mount("/audience", Route::callbacks(Callbacks::new().sessions(&audience)))
            .configure(|config| {
                config.max_message_size = 64 << 20;
                config.max_frame_size = 64 << 20;
                config.deflate = Some(Deflate::default());
            })
            .bind("127.0.0.1:0")?
    }};
}

fn serve_std() -> Result<()> {
    let listener = server!(
        ws_std,
        |_, mut ws| {
            while let Some(message) = ws.receive()? {
                ws.send(message)?;
            }
            Ok(())
        },
        |_, mut ws| {
            while ws.receive()?.is_some() {}
            Ok(())
        }
    );
    println!("listening on {}", listener.local_addr()?);
    Ok(listener.serve()?)
}

fn serve_smol() -> Result<()> {
    let listener = server!(
        ws_smol,
        |_, mut ws| async move {
            while let Some(message) = ws.receive().await? {
                ws.send(message).await?;
            }
            Ok(())
        },
        |_, mut ws| async move {
            while ws.receive().await?.is_some() {}
            Ok(())
        }
    );
    println!("listening on {}", listener.local_addr()?);
    Ok(smol::block_on(listener.serve())?)
}
