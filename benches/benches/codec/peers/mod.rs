//! Other libraries behind one trait, each used over an in-memory stream as its documentation recommends.

mod fastwebsockets;
mod nexus_web;
mod soketto;
mod tokio_websockets;
mod tungstenite;
mod yawc;

use std::hint::black_box;

use ws_core::Role;

use crate::support::{Group, Shape, Wire, per_message};

/// A connection of another library.
trait Peer {
    const NAME: &'static str;

    /// The message type for sending. A repeated send costs as little as the library permits: a reference count if the
    /// library owns messages, nothing if it borrows them.
    type Message;

    /// Creates an open connection.
    fn new(role: Role, wire: Wire) -> Self;

    fn message(shape: &Shape) -> Self::Message;

    /// Receives `count` messages. Text is received as valid UTF-8.
    fn receive(&mut self, count: usize);

    /// Sends the message `count` times. Each is written before the next one is sent.
    fn send(&mut self, message: &Self::Message, count: usize);

    /// Echoes `count` messages. Each is written before the next one is received.
    fn echo(&mut self, count: usize);
}

/// Calls a function for each library.
macro_rules! for_each_peer {
    ($function:ident($($argument:expr),+)) => {
        $function::<tungstenite::Tungstenite>($($argument),+);
        $function::<fastwebsockets::FastWebSockets>($($argument),+);
        $function::<tokio_websockets::TokioWebSockets>($($argument),+);
        $function::<yawc::Yawc>($($argument),+);
        $function::<soketto::Soketto>($($argument),+);
        $function::<nexus_web::NexusWeb>($($argument),+);
    };
}

pub(crate) fn decode(group: &mut Group<'_>, shape: &Shape, role: Role) {
    fn one<P: Peer>(group: &mut Group<'_>, shape: &Shape, role: Role) {
        let mut peer = P::new(role, Wire::new(shape.to(role)));
        per_message(group, shape.name, P::NAME, shape.count, || peer.receive(shape.count));
    }
    for_each_peer!(one(group, shape, role));
}

pub(crate) fn encode(group: &mut Group<'_>, shape: &Shape, role: Role) {
    fn one<P: Peer>(group: &mut Group<'_>, shape: &Shape, role: Role) {
        let mut peer = P::new(role, Wire::new(Vec::new()));
        let message = P::message(shape);
        per_message(group, shape.name, P::NAME, shape.count, || peer.send(black_box(&message), shape.count));
    }
    for_each_peer!(one(group, shape, role));
}

pub(crate) fn echo(group: &mut Group<'_>, shape: &Shape, role: Role) {
    fn one<P: Peer>(group: &mut Group<'_>, shape: &Shape, role: Role) {
        let mut peer = P::new(role, Wire::new(shape.to(role)));
        per_message(group, shape.name, P::NAME, shape.count, || peer.echo(shape.count));
    }
    for_each_peer!(one(group, shape, role));
}
