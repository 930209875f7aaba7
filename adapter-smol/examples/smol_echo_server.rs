//! Echoes text and binary messages on `/` and `/echo`. A browser that opens `/` gets a test page.
//!
//! `cargo run --release --example smol_echo_server -- [--listen ADDRESS] [--tls-cert FILE --tls-key FILE]
//! [--deflate] [--max-message-size BYTES] [--handshake-timeout SECONDS]`

use std::{error::Error, path::PathBuf, process, thread, time::Duration};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use ws_smol::{Deflate, HandlerResult, OriginPolicy, Response, Server, ServerTls, WebSocket};

fn main() {
    if let Err(error) = run() {
        eprintln!("smol_echo_server: {error}");
        process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let options = Options::parse()?;
    let mut server = Server::new()
        .route("/", |_request, ws| echo(ws))
        .route("/echo", |_request, ws| echo(ws))
        .page("/", |_| Response::new(200).html(include_str!("echo.html")))
        .origin(OriginPolicy::Any)
        .configure_handshake(|limits| limits.open_timeout = Some(options.handshake_timeout))
        .configure(|config| {
            config.max_message_size = options.max_message_size;
            config.max_fragments = usize::MAX;
            config.deflate = options.deflate.then(Deflate::default);
        });
    let mut scheme = "ws";
    if let Some((chain, key)) = options.tls {
        server = server.tls(ServerTls::from_files(chain, key)?);
        scheme = "wss";
    }
    let listener = server.bind(&*options.listen)?;

    let handle = listener.handle();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    println!("listening on {scheme}://{}/", listener.local_addr()?);
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            smol::block_on(handle.stop(Duration::from_secs(5)));
        }
    });
    Ok(smol::block_on(listener.serve())?)
}

async fn echo(mut ws: WebSocket) -> HandlerResult {
    while let Some(message) = ws.receive().await? {
        ws.feed(message).await?;
    }
    Ok(())
}

struct Options {
    listen: String,
    tls: Option<(PathBuf, PathBuf)>,
    deflate: bool,
    max_message_size: usize,
    handshake_timeout: Duration,
}

impl Options {
    fn parse() -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = Self {
            listen: "127.0.0.1:9001".into(),
            tls: None,
            deflate: false,
            max_message_size: 64 << 20,
            handshake_timeout: Duration::from_secs(10),
        };
        let (mut chain, mut key) = (None, None);
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("listen") => options.listen = parser.value()?.string()?,
                Long("tls-cert") => chain = Some(parser.value()?.into()),
                Long("tls-key") => key = Some(parser.value()?.into()),
                Long("deflate") => options.deflate = true,
                Long("max-message-size") => options.max_message_size = parser.value()?.parse()?,
                Long("handshake-timeout") => {
                    options.handshake_timeout = Duration::try_from_secs_f64(parser.value()?.parse()?)
                        .map_err(|error| lexopt::Error::Custom(error.into()))?;
                }
                other => return Err(other.unexpected()),
            }
        }
        options.tls = match (chain, key) {
            (Some(chain), Some(key)) => Some((chain, key)),
            (None, None) => None,
            _ => return Err("--tls-cert and --tls-key must be used together".into()),
        };
        Ok(options)
    }
}
