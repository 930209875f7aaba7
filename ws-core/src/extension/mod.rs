//! Extensions (RFC 6455 section 9). The only one is permessage-deflate (RFC 7692).

mod header;

#[cfg(feature = "deflate")]
mod deflate;
#[cfg(feature = "deflate")]
mod inflate;
#[cfg(feature = "deflate")]
mod negotiation;
#[cfg(not(feature = "deflate"))]
mod none;

#[cfg(feature = "deflate")]
pub use deflate::Deflate;
#[cfg(feature = "deflate")]
pub(crate) use {
    deflate::Compressor,
    inflate::Inflater,
    negotiation::{Agreed, accept, confirm, offer},
};

#[cfg(not(feature = "deflate"))]
pub(crate) use none::{Agreed, Compressor, Inflater, accept, confirm, offer};
