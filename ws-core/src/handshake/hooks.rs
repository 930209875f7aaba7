//! Settings of a router for all of its requests: a check, headers of all responses, and error pages.

use alloc::{borrow::ToOwned, boxed::Box};

use super::{
    Accept, Headers, Request, Response, headers::belongs_to_handshake, response::Content,
    router::RouterBuilder, server::Router,
};
use crate::{RouteError, Transmit};

type Check = dyn Fn(&Request) -> Result<Accept, Response> + Send + Sync;
type ErrorPage = dyn Fn(Option<&Request>, Response) -> Response + Send + Sync;

#[derive(Default)]
pub(super) struct Hooks {
    check: Option<Box<Check>>,
    error_page: Option<Box<ErrorPage>>,
    headers: Headers,
}

impl<H> RouterBuilder<H> {
    /// Sets a check that runs before every route and page, for each request that is valid HTTP. It runs before the
    /// origin check and before the check of a route. It accepts the request, or refuses it with a response.
    ///
    /// The headers of the returned [`Accept`] are added to the response of the request, whichever that is. Its
    /// [values](Accept::with) are in the request that pages, the check of the route and the handler receive. Its
    /// subprotocol is used if the check of the route selects none.
    pub fn check(&mut self, check: impl Fn(&Request) -> Result<Accept, Response> + Send + Sync + 'static) {
        self.hooks.check = Some(Box::new(check));
    }

    /// Adds a header to all responses that do not have a header of this name: the response that opens a WebSocket, pages
    /// and errors. [`build`](Self::build) returns an error if the header is invalid or belongs to the handshake itself.
    pub fn default_header(&mut self, name: &str, value: &str) {
        if belongs_to_handshake(name) || !self.hooks.headers.push(name, value) {
            self.error.get_or_insert_with(|| RouteError::InvalidHeader(name.to_owned()));
        }
    }

    /// Sets a function that changes each response by which a request is refused: those of the router, such as 404, 426
    /// and 503, and those of checks, but not pages. It receives `None` if no valid request was received.
    pub fn error_page(
        &mut self,
        error_page: impl Fn(Option<&Request>, Response) -> Response + Send + Sync + 'static,
    ) {
        self.hooks.error_page = Some(Box::new(error_page));
    }
}

impl<H> Router<H> {
    /// Returns the bytes of a response that refuses a request, after the [error page](RouterBuilder::error_page) has
    /// changed it. Write them and close the stream. `request` is `None` if no valid request was received.
    #[must_use]
    pub fn refuse(&self, request: Option<&Request>, response: Response) -> Transmit {
        let response = match &self.hooks.error_page {
            Some(error_page) => error_page(request, response),
            None => response,
        };
        self.respond(request, response)
    }

    /// Returns the bytes of a response with the headers of all responses, without calling code of the application.
    #[must_use]
    pub fn respond(&self, request: Option<&Request>, mut response: Response) -> Transmit {
        if let Some(accept) = request.and_then(|request| request.accepted.as_deref()) {
            response.append(&accept.headers, accept.unsendable);
        }
        let missing = self.hooks.headers.missing_in(response.headers());
        response.append(&missing, false);
        match request {
            Some(request) => request.respond(&response),
            None => response.encode(Content::Included),
        }
    }
}

impl Hooks {
    /// Runs the check, and keeps its result in the request.
    pub(super) fn check(&self, request: &mut Request) -> Result<(), Response> {
        let Some(check) = &self.check else { return Ok(()) };
        let mut accept = check(request)?;
        request.values = core::mem::take(&mut accept.values);
        request.accepted = Some(Box::new(accept));
        Ok(())
    }

    /// Returns the additions to the response that opens a WebSocket: those of the route's check, of the check before all
    /// routes, and the headers of all responses.
    pub(super) fn complete(&self, request: &Request, mut accept: Accept) -> Accept {
        if let Some(before) = request.accepted.as_deref() {
            accept.unsendable |= before.unsendable;
            accept.headers.append_all(&before.headers);
            accept.subprotocol = accept.subprotocol.or_else(|| before.subprotocol.clone());
        }
        let missing = self.headers.missing_in(&accept.headers);
        accept.headers.append_all(&missing);
        accept
    }
}
