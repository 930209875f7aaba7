use std::{fmt, sync::Arc};

use super::{End, Head, Link, Pair, ROLES, SEED, Transcript, drained, link::Loss};
use crate::{
    Config, Connection, HandshakeConfig, HandshakeError, OriginPolicy, Role, Timestamp,
    client::{self, Request},
    server::{self, Accept},
};

/// An opening handshake over a network in memory, with faults: delays, splits, losses, and heads that were changed on
/// the way. [`run`](Self::run) returns the opened [`Pair`], or the errors of both ends.
///
/// ```
/// use std::time::Duration;
/// use ws_core::{HandshakeError, Role, client::Request, testing::Opening};
///
/// // A proxy that removes a header.
/// let request = Request::new("ws://example.com/chat".parse()?);
/// let failed = Opening::new(request.clone())
///     .edit_response(|head| head.without("Sec-WebSocket-Accept"))
///     .run()
///     .unwrap_err();
/// assert_eq!(failed.client, Some(HandshakeError::MissingHeader("Sec-WebSocket-Accept")));
/// assert_eq!(failed.server, None); // it has opened the connection
///
/// // A server that never answers.
/// let mut opening = Opening::new(request);
/// opening.link(Role::Server).silence_after(0);
/// let failed = opening.run().unwrap_err();
/// assert_eq!(failed.client, Some(HandshakeError::Timeout));
/// assert_eq!(Duration::from(failed.at), Duration::from_secs(10));
/// # Ok::<(), ws_core::UrlError>(())
/// ```
#[must_use = "the handshake begins with `run`"]
pub struct Opening {
    request: Request,
    accept: Accept,
    origin: OriginPolicy,
    client: Settings,
    server: Settings,
    start: Timestamp,
}

/// The settings of one end, and its output.
#[derive(Default)]
struct Settings {
    config: Arc<Config>,
    limits: HandshakeConfig,
    link: Link,
    edit: Option<Box<dyn FnOnce(Head) -> Head>>,
}

/// The errors of an [`Opening`] that has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpeningFailure {
    /// The client's error. `None` if the client waits for ever, because it has no
    /// [`open_timeout`](HandshakeConfig::open_timeout).
    pub client: Option<HandshakeError>,
    /// The server's error. `None` if the server has opened the connection, or waits for ever.
    pub server: Option<HandshakeError>,
    /// The time of the virtual clock at which the handshake failed.
    pub at: Timestamp,
}

/// The server's progress.
enum Serving {
    Waits(server::Handshake),
    /// The connection, and the bytes behind the request.
    Opened(Connection, Vec<u8>),
    Failed(HandshakeError),
}

impl Opening {
    /// Creates an opening handshake for this request. The server accepts it if its origin is that of the host. All
    /// settings have their defaults, and the network has no faults.
    pub fn new(request: Request) -> Self {
        Self {
            request,
            accept: Accept::new(),
            origin: OriginPolicy::default(),
            client: Settings::default(),
            server: Settings::default(),
            start: Timestamp::ZERO,
        }
    }

    /// Sets the server's answer: its subprotocol and headers.
    pub fn accept(mut self, accept: Accept) -> Self {
        self.accept = accept;
        self
    }

    /// Sets the server's origin check. Default: [`OriginPolicy::SameHost`].
    pub fn origin(mut self, origin: OriginPolicy) -> Self {
        self.origin = origin;
        self
    }

    /// Sets the configuration of one end.
    pub fn config(mut self, role: Role, config: Arc<Config>) -> Self {
        self.end(role).config = config;
        self
    }

    /// Sets the limits of the opening handshake of one end.
    pub fn limits(mut self, role: Role, limits: HandshakeConfig) -> Self {
        self.end(role).limits = limits;
        self
    }

    /// Sets the time at which the handshake begins. Default: [`Timestamp::ZERO`].
    pub fn begin_at(mut self, start: Timestamp) -> Self {
        self.start = start;
        self
    }

    /// Changes the request on its way to the server.
    pub fn edit_request(mut self, edit: impl FnOnce(Head) -> Head + 'static) -> Self {
        self.client.edit = Some(Box::new(edit));
        self
    }

    /// Changes the response, which accepts or refuses the request, on its way to the client.
    pub fn edit_response(mut self, edit: impl FnOnce(Head) -> Head + 'static) -> Self {
        self.server.edit = Some(Box::new(edit));
        self
    }

    /// Returns the link that carries the output of this end. The [`Pair`] continues with both links.
    pub const fn link(&mut self, from: Role) -> &mut Link {
        &mut self.end(from).link
    }

    const fn end(&mut self, role: Role) -> &mut Settings {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    /// Runs the handshake to its end, and advances the virtual clock.
    ///
    /// # Errors
    ///
    /// Returns an [`OpeningFailure`] if the client's handshake fails. A server that refuses sends its response, so that
    /// the client's error is [`HandshakeError::Refused`].
    pub fn run(mut self) -> Result<Pair, OpeningFailure> {
        let (mut now, mut transcript) = (self.start, Transcript::new());
        let failed = |client, server, at| OpeningFailure { client, server, at };
        let asking =
            client::Handshake::new(&self.request, &self.client.limits, self.client.config.clone(), SEED, now);
        let mut asking = asking.map_err(|error| failed(Some(error), None, now))?;
        let request = drained(&mut asking.transmit());
        self.client.write(now, Role::Client, request, &mut transcript);
        let mut serving = Serving::Waits(server::Handshake::new(&self.server.limits, now));
        loop {
            serving = self.serve(serving, now, &mut transcript);
            match self.receive_response(&mut asking, now) {
                Ok(Some((client, behind))) => {
                    let Serving::Opened(server, behind_request) = serving else {
                        // The response was forged by an edit, so that only the client has a connection.
                        let server = server_error(serving);
                        return Err(failed(None, server, now));
                    };
                    let mut client = End::new_on(client, self.client.link);
                    let mut server = End::new_on(server, self.server.link);
                    client.receive_bytes(&behind);
                    server.receive_bytes(&behind_request);
                    return Ok(Pair::from_ends(client, server, now, transcript));
                }
                Ok(None) => {}
                Err(error) => {
                    transcript.note(now, Role::Client, format!("fails: {error}"));
                    return Err(failed(Some(error), server_error(serving), now));
                }
            }
            match self.next_time(&asking, &serving, now) {
                Some(next) => now = next,
                None => return Err(failed(None, server_error(serving), now)),
            }
        }
    }

    /// Passes arrived bytes, the end of the stream and the time to the server.
    fn serve(&mut self, serving: Serving, now: Timestamp, transcript: &mut Transcript) -> Serving {
        let Serving::Waits(mut handshake) = serving else { return serving };
        let mut result = Ok(None);
        while let Some(mut bytes) = self.client.link.read(now, usize::MAX) {
            let mut input = &mut bytes[..];
            result = handshake.receive(&mut input).map(|request| request.map(|it| (it, input.to_vec())));
            if !matches!(result, Ok(None)) {
                break;
            }
        }
        if self.lose() && matches!(result, Ok(None)) {
            result = Err(HandshakeError::Eof);
        } else if matches!(result, Ok(None)) {
            result = handshake.handle_timeout(now).map(|()| None);
        }
        let opened = result.and_then(|received| {
            let Some((request, behind)) = received else { return Ok(None) };
            let upgrade = request.upgrade(&self.origin)?;
            let connection = upgrade.accept(&self.accept, self.server.config.clone(), now)?;
            Ok(Some((connection, behind)))
        });
        match opened {
            Ok(None) => Serving::Waits(handshake),
            Ok(Some((mut connection, behind))) => {
                let response = drained(&mut connection.transmit());
                self.server.write(now, Role::Server, response, transcript);
                Serving::Opened(connection, behind)
            }
            Err(error) => {
                transcript.note(now, Role::Server, format!("refuses: {error}"));
                self.server.write(now, Role::Server, error.response().to_bytes(), transcript);
                self.server.link.end(now);
                Serving::Failed(error)
            }
        }
    }

    /// Passes arrived bytes, the end of the stream and the time to the client. Returns its connection, and the bytes
    /// behind the response.
    fn receive_response(
        &mut self,
        asking: &mut client::Handshake,
        now: Timestamp,
    ) -> Result<Option<(Connection, Vec<u8>)>, HandshakeError> {
        while let Some(mut bytes) = self.server.link.read(now, usize::MAX) {
            let mut input = &mut bytes[..];
            if let Some((connection, _)) = asking.receive(&mut input)? {
                return Ok(Some((connection, input.to_vec())));
            }
        }
        let has_ended = !self.server.link.loss_is(Loss::Silence) && self.server.link.has_ended(now);
        if self.lose() || has_ended {
            return Err(asking.receive_eof());
        }
        asking.handle_timeout(now)?;
        Ok(None)
    }

    /// Resets both directions if one of them was reset. Returns `true` if they are.
    fn lose(&mut self) -> bool {
        let links = [&mut self.client.link, &mut self.server.link];
        let is_lost = links.iter().any(|link| link.loss_is(Loss::Reset));
        if is_lost {
            links.into_iter().for_each(|link| link.reset_after(0).drop_all());
        }
        is_lost
    }

    /// Returns the next time at which something happens.
    fn next_time(&self, asking: &client::Handshake, serving: &Serving, now: Timestamp) -> Option<Timestamp> {
        let arrivals =
            [&self.client.link, &self.server.link].into_iter().filter_map(|link| link.next_arrival(now));
        let server_due = match serving {
            Serving::Waits(handshake) => handshake.poll_timeout(),
            Serving::Opened(..) | Serving::Failed(_) => None,
        };
        arrivals.chain(asking.poll_timeout()).chain(server_due).min()
    }
}

fn server_error(serving: Serving) -> Option<HandshakeError> {
    match serving {
        Serving::Failed(error) => Some(error),
        Serving::Waits(_) | Serving::Opened(..) => None,
    }
}

impl Settings {
    /// Writes a head to the link, after it was edited.
    fn write(&mut self, now: Timestamp, role: Role, head: Vec<u8>, transcript: &mut Transcript) {
        let head = match self.edit.take() {
            Some(edit) => {
                let end = head.windows(4).position(|end| end == b"\r\n\r\n").map_or(head.len(), |at| at + 4);
                let (head, body) = head.split_at(end);
                [&edit(Head::from_bytes(head)).bytes(), body].concat()
            }
            None => head,
        };
        transcript.add_head(now, role, &head);
        self.link.push(now, &head);
    }
}

impl fmt::Display for OpeningFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the opening handshake failed at {}", self.at)?;
        for (role, error) in ROLES.into_iter().zip([&self.client, &self.server]) {
            if let Some(error) = error {
                write!(f, ", {role:?}: {error}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for OpeningFailure {}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("request", &self.request)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}
