//! The servers of this workspace: an echo and a page on one port, with default settings and compression.

use std::ffi::OsString;

use ws_benches::server::end_with_parent;

use crate::Result;

/// Serves until standard input ends. `files` is empty, or contains the files of a certificate and its key.
pub(crate) fn serve(adapter: &str, files: &[OsString]) -> Result<()> {
    end_with_parent();
    match adapter {
        "std" => serve_std(files),
        "smol" => serve_smol(files),
        _ => Err("an adapter is std or smol".into()),
    }
}

macro_rules! server {
    ($adapter:ident, $files:expr, $echo:expr) => {{
        use $adapter::{Deflate, Response, Server, ServerTls};
        let page = Response::new(200).body(vec![b'x'; 8 << 20]);
        let server = Server::new()
            .route("/", $echo)
            .page("/page", move |_| page.clone())
            .configure(|config| config.deflate = Some(Deflate::default()));
        let server = match $files {
            [chain, key] => server.tls(ServerTls::from_files(chain, key)?),
            _ => server,
        };
        server.bind("127.0.0.1:0")?
    }};
}

fn serve_std(files: &[OsString]) -> Result<()> {
    let listener = server!(ws_std, files, |_, mut ws| {
        while let Some(message) = ws.receive()? {
            ws.send(message)?;
        }
        Ok(())
    });
    println!("listening on {}", listener.local_addr()?);
    Ok(listener.serve()?)
}

fn serve_smol(files: &[OsString]) -> Result<()> {
    let listener = server!(ws_smol, files, |_, mut ws| async move {
        while let Some(message) = ws.receive().await? {
            ws.send(message).await?;
        }
        Ok(())
    });
    println!("listening on {}", listener.local_addr()?);
    Ok(smol::block_on(listener.serve())?)
}
