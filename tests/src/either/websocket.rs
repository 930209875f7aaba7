use std::time::Duration;

use ws_std::{Chunk, CloseCode, Closure, Error, Event, Message, PreparedMessage, State};

/// A connection of either adapter.
#[derive(Debug)]
pub enum WebSocket {
    /// Of `ws-std`.
    Std(ws_std::WebSocket),
    /// Of `ws-smol`.
    Smol(ws_smol::WebSocket),
}

impl WebSocket {
    /// As `WebSocket::receive`.
    pub fn receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        either!(self, ws => ws.receive(), async ws.receive())
    }

    /// As `WebSocket::try_receive`.
    pub fn try_receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        either!(self, ws => ws.try_receive())
    }

    /// Receives the message that has to come.
    pub fn message(&mut self) -> Message<'static> {
        self.receive().expect("a message").expect("a message before the end")
    }

    /// As `WebSocket::receive_chunk`.
    pub fn receive_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        either!(self, ws => ws.receive_chunk(), async ws.receive_chunk())
    }

    /// As `WebSocket::receive_event`.
    pub fn receive_event(&mut self) -> Result<Option<Event<'static>>, Error> {
        either!(self, ws => ws.receive_event(), async ws.receive_event())
    }

    /// As `WebSocket::send`.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        either!(self, ws => ws.send(message), async ws.send(message))
    }

    /// As `WebSocket::feed`.
    pub fn feed<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        either!(self, ws => ws.feed(message), async ws.feed(message))
    }

    /// As `WebSocket::flush`.
    pub fn flush(&self) -> Result<(), Error> {
        either!(self, ws => ws.flush(), async ws.flush())
    }

    /// As `WebSocket::send_chunk`.
    pub fn send_chunk(&self, chunk: Chunk<'_>) -> Result<(), Error> {
        either!(self, ws => ws.send_chunk(chunk), async ws.send_chunk(chunk))
    }

    /// As `WebSocket::send_prepared`.
    pub fn send_prepared(&self, message: &PreparedMessage) -> Result<(), Error> {
        either!(self, ws => ws.send_prepared(message), async ws.send_prepared(message))
    }

    /// As `WebSocket::ping`.
    pub fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        either!(self, ws => ws.ping(payload), async ws.ping(payload))
    }

    /// As `WebSocket::close`.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        either!(self, ws => ws.close(code, reason), async ws.close(code, reason))
    }

    /// Receives, and drops, what comes until the connection ends as it should.
    pub fn receive_to_end(&mut self) -> Result<(), Error> {
        while self.receive()?.is_some() {}
        Ok(())
    }

    /// Receives, and drops, what comes until the peer closes in an abnormal way.
    pub fn receive_to_abnormal_close(&mut self) -> Closure {
        match self.receive_to_end() {
            Err(Error::Closed(closure)) => closure,
            other => panic!("{other:?}"),
        }
    }

    /// As `WebSocket::set_read_timeout`.
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        either!(self, ws => ws.set_read_timeout(timeout));
    }

    /// As `WebSocket::split`.
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

    /// As `WebSocket::sender`.
    pub fn sender(&self) -> Sender {
        match self {
            Self::Std(ws) => Sender::Std(ws.sender()),
            Self::Smol(ws) => Sender::Smol(ws.sender()),
        }
    }

    /// As `WebSocket::subprotocol`.
    pub fn subprotocol(&self) -> Option<String> {
        either!(self, ws => ws.subprotocol())
    }

    /// How it ended; it has to have.
    pub fn closure(&self) -> Closure {
        either!(self, ws => ws.closure()).expect("an end")
    }

    /// As `WebSocket::latency`.
    pub fn latency(&self) -> Option<Duration> {
        either!(self, ws => ws.latency())
    }
}

/// The sending half of a connection of either adapter.
#[derive(Clone, Debug)]
pub enum Sender {
    /// Of `ws-std`.
    Std(ws_std::Sender),
    /// Of `ws-smol`.
    Smol(ws_smol::Sender),
}

impl Sender {
    /// As `Sender::state`.
    pub fn state(&self) -> State {
        either!(self, sender => sender.state())
    }

    /// As `Sender::send`.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        either!(self, sender => sender.send(message), async sender.send(message))
    }

    /// As `Sender::feed`.
    pub fn feed<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        either!(self, sender => sender.feed(message), async sender.feed(message))
    }

    /// As `Sender::flush`.
    pub fn flush(&self) -> Result<(), Error> {
        either!(self, sender => sender.flush(), async sender.flush())
    }

    /// As `Sender::send_chunk`.
    pub fn send_chunk(&self, chunk: Chunk<'_>) -> Result<(), Error> {
        either!(self, sender => sender.send_chunk(chunk), async sender.send_chunk(chunk))
    }

    /// As `Sender::abort_message`.
    pub fn abort_message(&self) {
        either!(self, sender => sender.abort_message());
    }

    /// As `Sender::close`.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        either!(self, sender => sender.close(code, reason), async sender.close(code, reason))
    }

    /// As `Sender::latency`.
    pub fn latency(&self) -> Option<Duration> {
        either!(self, sender => sender.latency())
    }
}

/// The receiving half of a connection of either adapter.
#[derive(Debug)]
pub enum Receiver {
    /// Of `ws-std`.
    Std(ws_std::Receiver),
    /// Of `ws-smol`.
    Smol(ws_smol::Receiver),
}

impl Receiver {
    /// As `Receiver::receive`.
    pub fn receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        either!(self, receiver => receiver.receive(), async receiver.receive())
    }
}
