use ws_core::{
    HandshakeConfig, HandshakeError, Url,
    client::{Handshake, Redirects, Request},
    testing::{SEED, drained, pieces},
};

use crate::settings::split_first;

/// Checks redirects. The input is a list of responses of a server, and the client follows each of them. It never gives up TLS,
/// never follows more than the limit, sends credentials to their origin only, and its next URL is valid. The result does not
/// depend on the pieces in which the responses arrive.
pub fn redirect(data: &[u8]) {
    let (byte, responses) = split_first(data);
    let limit = u32::from(byte >> 4);
    let url = ["ws://user:secret@a/x/y?z", "wss://user:secret@a:8443/"][usize::from(byte & 1)];
    let whole = followed(url, limit, responses, &[usize::MAX]);
    for sizes in [&[1][..], &[3, 7, 50]] {
        assert_eq!(followed(url, limit, responses, sizes), whole, "cut into {sizes:?}");
    }
    let (urls, error) = whole;
    assert!(urls.len() <= limit.min(Redirects::MAX) as usize && !error.is_empty());
}

/// Returns the URLs that the client is redirected to, and the last error.
fn followed(url: &str, limit: u32, mut responses: &[u8], sizes: &[usize]) -> (Vec<String>, String) {
    let mut request =
        Request::new(url.parse().expect("a URL")).header("Cookie", "session=secret").header("X-A", "b");
    let first: Url = request.url().clone();
    let mut left_origin = false;
    let (mut redirects, mut urls) = (Redirects::new(limit), Vec::new());
    loop {
        let (error, used) = refused(&request, responses, sizes, left_origin);
        responses = &responses[used..];
        let before = request.url().clone();
        match redirects.follow(&request, error) {
            Err(error) => return (urls, format!("{error:?}")),
            Ok(next) => request = next,
        }
        let url = request.url();
        assert!(url.is_secure() || !before.is_secure(), "TLS is given up");
        left_origin |= !url.is_same_origin(&before);
        assert!(left_origin || url.is_same_origin(&first));
        let shown = url.to_string();
        assert!(!shown.contains('#'), "{shown}");
        assert_eq!(shown.parse::<Url>().map(|url| url.to_string()).as_ref(), Ok(&shown));
        urls.push(shown);
    }
}

/// Returns the error of one opening handshake, and the number of bytes of its response.
fn refused(
    request: &Request,
    responses: &[u8],
    sizes: &[usize],
    left_origin: bool,
) -> (HandshakeError, usize) {
    let limits = HandshakeConfig::default();
    let begin =
        || Handshake::new(request, &limits, std::sync::Arc::default(), SEED, ws_core::Timestamp::ZERO);
    let mut handshake = begin().expect("a request that can be sent");
    let asked = String::from_utf8(drained(&mut handshake.transmit())).expect("text");
    let carries = |name: &str| asked.contains(&format!("\r\n{name}: "));
    assert!(asked.starts_with("GET /") && carries("Host") && carries("X-A"), "{asked}");
    assert_eq!((carries("Cookie"), carries("Authorization")), (!left_origin, !left_origin), "{asked}");
    // A connection per response: the input of each ends at the first blank line.
    let end =
        responses.windows(4).position(|window| window == b"\r\n\r\n").map_or(responses.len(), |at| at + 4);
    for piece in pieces(&responses[..end], sizes) {
        let mut piece = piece.to_vec();
        match handshake.receive(&mut &mut piece[..]) {
            Ok(opened) => assert!(opened.is_none(), "a response to another key opens nothing"),
            Err(error) => return (error, end),
        }
    }
    (handshake.receive_eof(), end)
}
