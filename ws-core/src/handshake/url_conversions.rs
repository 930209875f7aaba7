//! Conversions from and into [`Url`].

use alloc::string::String;
#[cfg(feature = "url")]
use alloc::string::ToString;
use core::convert::Infallible;

use super::{Url, UrlError};

impl TryFrom<&str> for Url {
    type Error = UrlError;

    fn try_from(url: &str) -> Result<Self, UrlError> {
        url.parse()
    }
}

// There is no `TryFrom<String>`: clippy would complain about `Client::new(&url)` wherever `url` is not used again.
impl TryFrom<&String> for Url {
    type Error = UrlError;

    fn try_from(url: &String) -> Result<Self, UrlError> {
        url.parse()
    }
}

impl From<&Self> for Url {
    fn from(url: &Self) -> Self {
        url.clone()
    }
}

/// Converts an address of the crate `url`. Its host is in punycode already.
///
/// ```
/// let url = url::Url::parse("wss://bücher.example/chat").unwrap();
/// assert_eq!(ws_core::Url::try_from(&url)?.host(), "xn--bcher-kva.example");
/// # Ok::<(), ws_core::UrlError>(())
/// ```
#[cfg(feature = "url")]
impl TryFrom<&url::Url> for Url {
    type Error = UrlError;

    fn try_from(url: &url::Url) -> Result<Self, UrlError> {
        url.as_str().parse()
    }
}

#[cfg(feature = "url")]
impl TryFrom<url::Url> for Url {
    type Error = UrlError;

    fn try_from(url: url::Url) -> Result<Self, UrlError> {
        url.as_str().parse()
    }
}

/// Converts the URL, without its user and password. Fails for an IPv6 address with a zone, which `url::Url` does not
/// support.
#[cfg(feature = "url")]
impl TryFrom<&Url> for url::Url {
    type Error = url::ParseError;

    fn try_from(url: &Url) -> Result<Self, Self::Error> {
        Self::parse(&url.to_string())
    }
}

/// For functions that take anything that converts into a [`Url`], such as a `Url`.
impl From<Infallible> for UrlError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
