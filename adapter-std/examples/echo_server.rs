//! Echoes text and binary on `/` and `/echo`; a browser that opens `/` gets a page to try it with.
//!
//! `cargo run --release --example echo_server -- [--listen ADDRESS] [--max-message-size BYTES]
//! [--handshake-timeout SECONDS]`

use std::{error::Error, process, thread, time::Duration};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use ws_std::{HandlerResult, OriginPolicy, Request, Response, Server, WebSocket};

fn main() {
    if let Err(error) = run() {
        eprintln!("echo_server: {error}");
        process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let options = Options::parse()?;
    let server = Server::new()
        .route("/", echo)
        .route("/echo", echo)
        .page("/", |_| Response::new(200).html(include_str!("echo.html")))
        .origin(OriginPolicy::Any)
        .configure(|config| {
            config.max_message_size = options.max_message_size;
            config.max_fragments = usize::MAX;
            config.open_timeout = Some(options.handshake_timeout);
        });
    let listener = server.bind(&*options.listen)?;
    println!("listening on ws://{}/", listener.local_addr()?);

    let handle = listener.handle();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            handle.stop(Duration::from_secs(5));
        }
    });
    Ok(listener.serve()?)
}

fn echo(_request: Request, mut ws: WebSocket) -> HandlerResult {
    while let Some(message) = ws.receive()? {
        ws.feed(message)?;
    }
    Ok(())
}

struct Options {
    listen: String,
    max_message_size: usize,
    handshake_timeout: Duration,
}

impl Options {
    fn parse() -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = Self {
            listen: "127.0.0.1:9001".into(),
            max_message_size: 64 << 20,
            handshake_timeout: Duration::from_secs(10),
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("listen") => options.listen = parser.value()?.string()?,
                Long("max-message-size") => options.max_message_size = parser.value()?.parse()?,
                Long("handshake-timeout") => {
                    options.handshake_timeout = Duration::try_from_secs_f64(parser.value()?.parse()?)
                        .map_err(|error| lexopt::Error::Custom(error.into()))?;
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}
