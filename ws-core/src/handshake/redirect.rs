//! Redirects of a client (RFC 9110 section 15.4). RFC 6455 section 4.1 leaves it to the client to follow them.

use core::fmt;

use super::{HandshakeError, Response, UrlError, client::Request};

/// Follows the redirects of a server, up to a number.
///
/// The statuses 301, 302, 303, 307 and 308 redirect. A redirect from `wss` to `ws` is never followed, because it would
/// give up encryption. At another origin (scheme, host or port), the request omits the URL's user and password, `Host`,
/// and all headers with names that suggest a credential, such as `Authorization`, `Cookie` and `X-Api-Key`.
///
/// ```
/// use ws_core::{HandshakeError, Response, client::{Redirects, Request}};
///
/// let request = Request::new("wss://example.com/a".parse()?).header("Cookie", "session=1");
/// let mut redirects = Redirects::new(1);
/// let refused = || HandshakeError::Refused(Response::new(302).header("Location", "/b").into());
/// let request = redirects.follow(&request, refused())?;
/// assert_eq!(request.url().target(), "/b");
/// assert!(redirects.follow(&request, refused()).is_err()); // only one
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Redirects {
    limit: u32,
    followed: u32,
}

impl Redirects {
    /// Maximum number of redirects. A larger limit counts as this number.
    pub const MAX: u32 = 10;

    /// Creates a limit of at most this many redirects. With 0, no redirect is followed.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { limit: limit.min(Self::MAX), followed: 0 }
    }

    /// Returns the request to the next URL if `error` is a redirect that may be followed.
    ///
    /// # Errors
    ///
    /// - Returns `error` itself if it is not a redirect, or if the limit is 0.
    /// - Returns [`HandshakeError::Redirect`] with the last response if the redirect must not be followed.
    pub fn follow(&mut self, request: &Request, error: HandshakeError) -> Result<Request, HandshakeError> {
        let HandshakeError::Refused(response) = error else { return Err(error) };
        if self.limit == 0 || !matches!(response.status(), 301 | 302 | 303 | 307 | 308) {
            return Err(HandshakeError::Refused(response));
        }
        match self.target(request, &response) {
            Ok(request) => {
                self.followed = self.followed.saturating_add(1);
                Ok(request)
            }
            Err(problem) => Err(HandshakeError::Redirect { response, problem }),
        }
    }

    fn target(&self, request: &Request, response: &Response) -> Result<Request, RedirectProblem> {
        if self.followed >= self.limit {
            return Err(RedirectProblem::TooMany { limit: self.limit });
        }
        let location = match response.headers().count("Location") {
            0 => return Err(RedirectProblem::MissingLocation),
            1 => response.header_value("Location"),
            _ => None,
        };
        // A location that is ambiguous or not text is not a URL.
        let location = location.ok_or(RedirectProblem::InvalidLocation(UrlError::Host))?;
        let url = request.url().join(location).map_err(RedirectProblem::InvalidLocation)?;
        if request.url().is_secure() && !url.is_secure() {
            return Err(RedirectProblem::GivesUpTls);
        }
        Ok(request.redirected(url))
    }
}

/// The reason why a client does not follow a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedirectProblem {
    /// The client has already followed its maximum number of redirects.
    TooMany {
        /// The maximum number.
        limit: u32,
    },
    /// The redirect leads from `wss://` to `ws://`, which is not encrypted.
    GivesUpTls,
    /// The response has no header `Location`.
    MissingLocation,
    /// The header `Location` is not the URL of a WebSocket, or occurs more than once.
    InvalidLocation(UrlError),
}

impl fmt::Display for RedirectProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { limit } => {
                write!(
                    f,
                    "the client follows at most {limit} redirects (max_redirects), and this may be a loop"
                )
            }
            Self::GivesUpTls => f.write_str("a redirect from wss:// to ws:// would give up encryption"),
            Self::MissingLocation => f.write_str("the server sent no Location"),
            Self::InvalidLocation(error) => write!(f, "the server's Location is invalid: {error}"),
        }
    }
}
