//! Implementations of [`Stream`](futures_core::Stream) and, with the feature `sink`, of `Sink`.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

#[cfg(feature = "sink")]
use ws_core::CloseCode;
use ws_core::{Event, Message};
use ws_transport::{Error, Observed};

#[cfg(feature = "sink")]
use crate::Sender;
use crate::{Receiver, WebSocket, duplex::Assembling, halves::observed};

impl futures_core::Stream for WebSocket {
    type Item = Result<Message<'static>, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}

/// Yields the received messages. Under [`Delivery::Chunks`](ws_core::Delivery::Chunks), it assembles the chunks of
/// each message. An error that ends the connection is the last item before `None`. [`Error::Timeout`] does not end
/// the connection, so the stream continues after it.
impl futures_core::Stream for Receiver {
    type Item = Result<Message<'static>, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Self { duplex, observer, .. } = self.get_mut();
        // All polls of one wait share one deadline.
        let mut wait = duplex.stream_wait();
        let mut take = |event: Event<'_>, mut assembling: Assembling<'_>| assembling.message(event);
        let received = if observer.is_set() {
            let mut take = observed(&mut take);
            loop {
                match ready!(duplex.poll_receive(cx, &mut wait, &mut take)).transpose() {
                    Some(Ok(Observed::Control(event))) => observer.observe(&event),
                    Some(Ok(Observed::Taken(message))) => break Some(Ok(message)),
                    Some(Err(error)) => break Some(Err(error)),
                    None => break None,
                }
            }
        } else {
            ready!(duplex.poll_receive(cx, &mut wait, &mut take)).transpose()
        };
        duplex.end_stream_wait();
        Poll::Ready(received)
    }
}

/// Ready when there is room in the send queue. Flushing and closing wait until the stream has accepted all queued
/// output.
#[cfg(feature = "sink")]
impl<'m> futures_sink::Sink<Message<'m>> for Sender {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.duplex.look();
        self.duplex.poll_queue(cx, |_| Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: Message<'m>) -> Result<(), Error> {
        self.duplex.send_now(message)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.duplex.poll_flush_all(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.duplex.begin_close(CloseCode::NORMAL_CLOSURE, "")?;
        // A failed connection does not need to be closed.
        self.duplex.poll_flush_all(cx).map(|_| Ok(()))
    }
}

#[cfg(feature = "sink")]
impl<'m> futures_sink::Sink<Message<'m>> for WebSocket {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        futures_sink::Sink::<Message<'m>>::poll_ready(Pin::new(&mut self.sender), cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message<'m>) -> Result<(), Error> {
        Pin::new(&mut self.sender).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        futures_sink::Sink::<Message<'m>>::poll_flush(Pin::new(&mut self.sender), cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        futures_sink::Sink::<Message<'m>>::poll_close(Pin::new(&mut self.sender), cx)
    }
}
