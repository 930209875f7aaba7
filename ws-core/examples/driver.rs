//! An echo server with one thread for each connection. Its driver is correct for any behaviour of the peer.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Buf;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ws_core::{
    CloseInfo, Config, Connection, Event, HandshakeConfig, OriginPolicy, Timestamp,
    server::{Accept, Handshake},
};

/// Drives a connection over a non-blocking socket until it has ended.
pub(crate) fn drive(connection: &mut Connection, mut socket: &TcpStream, epoch: Instant) -> io::Result<()> {
    let now = || Timestamp::from(epoch.elapsed());
    let mut buffer = vec![0; 64 * 1024]; // one buffer can serve all connections of a thread
    let mut is_shut_down = false;
    loop {
        // Read, and receive. After a pause, `receive` also returns the events in the input that it kept.
        let mut read = 0;
        if connection.wants_read() {
            match socket.read(&mut buffer) {
                Ok(len @ 1..) => read = len,
                Err(error) if is_temporary(&error) => {}
                Ok(0) | Err(_) => connection.receive_eof(),
            }
        }
        answer(connection, &mut buffer[..read]);
        // Report the time, after all received input was passed on.
        connection.handle_timeout(now());
        // Write as much as the socket accepts.
        while connection.wants_write() {
            let mut output = connection.transmit();
            match socket.write(output.chunk()) {
                Ok(written @ 1..) => output.advance(written),
                Err(error) if is_temporary(&error) => break,
                Ok(0) | Err(_) => {
                    drop(output);
                    connection.discard_output();
                }
            }
        }
        // End: close this direction once, and the socket when the peer has closed the other direction.
        if connection.wants_shutdown() && !is_shut_down {
            let _ = socket.shutdown(Shutdown::Write); // if the peer is gone, this fails and the next read reports it
            is_shut_down = true;
        }
        if connection.is_finished() {
            return Ok(());
        }
        // Wait for the socket, but not beyond the next deadline. Writing may have made it earlier.
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, connection.wants_read());
        events.set(PollFlags::OUT, connection.wants_write());
        let due = if connection.wants_receive() { Some(now()) } else { connection.poll_timeout() };
        let wait = due.and_then(|due| Timespec::try_from(due.saturating_duration_since(now())).ok());
        match poll(&mut [PollFd::new(&socket, events)], wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Receives all messages in `input`, and echoes each of them.
fn answer(connection: &mut Connection, mut input: &mut [u8]) {
    // An error ends the loop. Nothing else has to be done: the connection has failed and queued its Close.
    while let Ok(Some(event)) = connection.receive(&mut input) {
        if let Event::Message(message) = event {
            let _ = connection.reply(message); // it fails if the connection is closing
        }
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Serves one client: the opening handshake, and then the connection. Returns a record of its end.
pub(crate) fn serve(
    mut socket: TcpStream,
    limits: &HandshakeConfig,
    config: &Arc<Config>,
    epoch: Instant,
) -> io::Result<Option<CloseInfo>> {
    let now = || Timestamp::from(epoch.elapsed());
    let mut handshake = Handshake::new(limits, now());
    let mut buffer = [0; 4096];
    loop {
        let wait = handshake.poll_timeout().map(|due| due.saturating_duration_since(now()));
        socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))?;
        let read = match socket.read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(read) => read,
            Err(error) if is_temporary(&error) => 0,
            Err(error) => return Err(error),
        };
        let mut input = &mut buffer[..read];
        let opened = match handshake.receive(&mut input) {
            Ok(Some(request)) => request
                .upgrade(&OriginPolicy::default())
                .and_then(|upgrade| upgrade.accept(&Accept::new(), config.clone(), now())),
            Ok(None) => match handshake.handle_timeout(now()) {
                Ok(()) => continue,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match opened {
            Ok(mut connection) => {
                answer(&mut connection, input); // messages may directly follow the request
                socket.set_nonblocking(true)?;
                drive(&mut connection, &socket, epoch)?;
                return Ok(connection.close_info());
            }
            Err(error) => {
                socket.write_all(&error.response().to_bytes())?;
                return Ok(None);
            }
        }
    }
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:9001")?;
    println!("listening on ws://{}/", listener.local_addr()?);
    let (limits, config, epoch) = (HandshakeConfig::default(), Arc::new(Config::default()), Instant::now());
    for socket in listener.incoming() {
        let (socket, limits, config) = (socket?, limits.clone(), config.clone());
        thread::spawn(move || match serve(socket, &limits, &config, epoch) {
            Ok(Some(close_info)) => println!("{close_info}"),
            Ok(None) => println!("no connection was opened"),
            Err(error) => println!("{error}"),
        });
    }
    Ok(())
}
