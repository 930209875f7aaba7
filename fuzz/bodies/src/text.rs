use ws_core::Utf8Decoder;

use crate::settings::sizes;

/// Checks text in pieces: the result equals that of the whole text, and an error is reported in the earliest piece
/// that makes it certain.
pub fn utf8(data: &[u8]) {
    let (sizes, bytes) = sizes(data);
    for sizes in [&sizes[..], &[1], &[usize::MAX]] {
        decode(bytes, sizes);
    }
}

fn decode(bytes: &[u8], sizes: &[usize]) {
    let mut decoder = Utf8Decoder::default();
    // The text consists of whole characters up to `valid`. The decoder has received it up to `end`.
    let (mut valid, mut end) = (0, 0);
    for piece in ws_core::testing::pieces(bytes, sizes) {
        end += piece.len();
        let so_far = std::str::from_utf8(&bytes[valid..end]);
        // An error without a length is a character that the end of the bytes cuts off.
        let certain = so_far.is_err_and(|error| error.error_len().is_some());
        let text = match decoder.decode(piece) {
            Ok((completed, more)) => String::from_iter(completed) + more,
            Err(_) => {
                assert!(certain, "{:02x?} may be UTF-8", &bytes[..end]);
                return;
            }
        };
        assert!(!certain, "{:02x?} is not UTF-8", &bytes[..end]);
        let len = so_far.map_or_else(|error| error.valid_up_to(), str::len);
        assert_eq!(text.as_bytes(), &bytes[valid..valid + len]);
        assert_eq!(decoder.is_complete(), so_far.is_ok());
        valid += len;
    }
}
