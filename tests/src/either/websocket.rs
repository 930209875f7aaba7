use std::{net::SocketAddr, time::Duration};

use ws_std::{Chunk, CloseCode, CloseInfo, Error, Event, Message, PreparedMessage, State};

/// A connection of either adapter.
#[derive(Debug)]
pub enum WebSocket {
    /// The variant of `ws-std`.
    Std(ws_std::WebSocket),
    /// The variant of `ws-smol`.
    Smol(ws_smol::WebSocket),
}

impl WebSocket {
    /// Same as `WebSocket::receive`.
    pub fn receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        either!(self, ws => ws.receive(), async ws.receive())
    }

    /// Same as `WebSocket::try_receive`.
    pub fn try_receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        either!(self, ws => ws.try_receive())
    }

    /// Receives a message. Panics at the end of the connection.
    pub fn message(&mut self) -> Message<'static> {
        self.receive().expect("a message").expect("a message before the end")
    }

    /// Same as `WebSocket::receive_chunk`.
    pub fn receive_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        either!(self, ws => ws.receive_chunk(), async ws.receive_chunk())
    }

    /// Same as `WebSocket::receive_event`.
    pub fn receive_event(&mut self) -> Result<Option<Event<'static>>, Error> {
        either!(self, ws => ws.receive_event(), async ws.receive_event())
    }

    /// Same as `WebSocket::send`.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        either!(self, ws => ws.send(message), async ws.send(message))
    }

    /// Same as `WebSocket::feed`.
    pub fn feed<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        either!(self, ws => ws.feed(message), async ws.feed(message))
    }

    /// Same as `WebSocket::flush`.
    pub fn flush(&self) -> Result<(), Error> {
        either!(self, ws => ws.flush(), async ws.flush())
    }

    /// Same as `WebSocket::send_chunk`.
    pub fn send_chunk(&self, chunk: Chunk<'_>) -> Result<(), Error> {
        either!(self, ws => ws.send_chunk(chunk), async ws.send_chunk(chunk))
    }

    /// Same as `WebSocket::send_prepared`.
    pub fn send_prepared(&self, message: &PreparedMessage) -> Result<(), Error> {
        either!(self, ws => ws.send_prepared(message), async ws.send_prepared(message))
    }

    /// Same as `WebSocket::ping`.
    pub fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        either!(self, ws => ws.ping(payload), async ws.ping(payload))
    }

    /// Same as `WebSocket::close`.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        either!(self, ws => ws.close(code, reason), async ws.close(code, reason))
    }

    /// Receives and drops messages until the connection ends normally.
    pub fn receive_to_end(&mut self) -> Result<(), Error> {
        while self.receive()?.is_some() {}
        Ok(())
    }

    /// Receives and drops messages until the peer closes with an error code.
    pub fn receive_to_abnormal_close(&mut self) -> CloseInfo {
        match self.receive_to_end() {
            Err(Error::Closed(close_info)) => close_info,
            other => panic!("{other:?}"),
        }
    }

    /// Same as `WebSocket::set_read_timeout`.
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        either!(self, ws => ws.set_read_timeout(timeout));
    }

    /// Same as `WebSocket::split`.
    pub fn split(self) -> (Sender, Receiver) {
        match self {
            Self::Std(ws) => {
                let (sender, receiver) = ws.split();
                (Sender::Std(sender), Receiver::Std(receiver))
            }
            Self::Smol(ws) => {
                let (sender, receiver) = ws.split();
                (Sender::Smol(sender), Receiver::Smol(receiver))
            }
        }
    }

    /// Same as `WebSocket::sender`.
    pub fn sender(&self) -> Sender {
        match self {
            Self::Std(ws) => Sender::Std(ws.sender()),
            Self::Smol(ws) => Sender::Smol(ws.sender()),
        }
    }

    /// Same as `WebSocket::subprotocol`.
    pub fn subprotocol(&self) -> Option<String> {
        either!(self, ws => ws.subprotocol())
    }

    /// Returns the end of the connection. Panics if it is still open.
    pub fn close_info(&self) -> CloseInfo {
        either!(self, ws => ws.close_info()).expect("an end")
    }

    /// Same as `WebSocket::stats`.
    pub fn stats(&self) -> ws_std::SessionStats {
        either!(self, ws => ws.stats())
    }

    /// Same as `WebSocket::latency`.
    pub fn latency(&self) -> Option<Duration> {
        either!(self, ws => ws.latency())
    }

    /// The addresses of the peer and of this end.
    pub fn addresses(&self) -> [Option<SocketAddr>; 2] {
        either!(self, ws => [ws.peer_addr(), ws.local_addr()])
    }
}

/// The sending half of a connection of either adapter.
#[derive(Clone, Debug)]
pub enum Sender {
    /// The variant of `ws-std`.
    Std(ws_std::Sender),
    /// The variant of `ws-smol`.
    Smol(ws_smol::Sender),
}

impl Sender {
    /// Same as `Sender::state`.
    pub fn state(&self) -> State {
        either!(self, sender => sender.state())
    }

    /// Same as `Sender::send`.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        either!(self, sender => sender.send(message), async sender.send(message))
    }

    /// Same as `Sender::feed`.
    pub fn feed<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        either!(self, sender => sender.feed(message), async sender.feed(message))
    }

    /// Same as `Sender::flush`.
    pub fn flush(&self) -> Result<(), Error> {
        either!(self, sender => sender.flush(), async sender.flush())
    }

    /// Same as `Sender::send_chunk`.
    pub fn send_chunk(&self, chunk: Chunk<'_>) -> Result<(), Error> {
        either!(self, sender => sender.send_chunk(chunk), async sender.send_chunk(chunk))
    }

    /// Same as `Sender::abort_message`.
    pub fn abort_message(&self) {
        either!(self, sender => sender.abort_message());
    }

    /// Same as `Sender::close`.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        either!(self, sender => sender.close(code, reason), async sender.close(code, reason))
    }

    /// Same as `Sender::latency`.
    pub fn latency(&self) -> Option<Duration> {
        either!(self, sender => sender.latency())
    }

    /// The addresses of the peer and of this end.
    pub fn addresses(&self) -> [Option<SocketAddr>; 2] {
        either!(self, sender => [sender.peer_addr(), sender.local_addr()])
    }
}

/// The receiving half of a connection of either adapter.
#[derive(Debug)]
pub enum Receiver {
    /// The variant of `ws-std`.
    Std(ws_std::Receiver),
    /// The variant of `ws-smol`.
    Smol(ws_smol::Receiver),
}

impl Receiver {
    /// Same as `Receiver::receive`.
    pub fn receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        either!(self, receiver => receiver.receive(), async receiver.receive())
    }

    /// The addresses of the peer and of this end.
    pub fn addresses(&self) -> [Option<SocketAddr>; 2] {
        either!(self, receiver => [receiver.peer_addr(), receiver.local_addr()])
    }
}
