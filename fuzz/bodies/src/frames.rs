use arbitrary::{Arbitrary, Unstructured};
use ws_core::{frame::Header, testing::wire};

/// Checks frame headers. Decoding reverses encoding, an incomplete header asks for more bytes, and errors are
/// reported at the earliest byte and stay.
pub fn header(data: &[u8]) {
    decoded(data);
    if let Ok(header) = Header::arbitrary(&mut Unstructured::new(data)) {
        round_trip(header);
    }
}

fn decoded(bytes: &[u8]) {
    let whole = Header::decode(bytes);
    match whole {
        Ok(Some((header, len))) => {
            assert!(len <= Header::MAX_LEN && len <= bytes.len());
            // Only the shortest form of a length is valid, so encoding again restores the bytes.
            assert_eq!(&header.encode()[..], &bytes[..len]);
            assert!(header.payload_len < 1 << 63);
            for cut in 0..len {
                assert_eq!(Header::decode(&bytes[..cut]), Ok(None), "cut at {cut}");
            }
            assert_eq!(Header::decode(&bytes[..len]), whole, "what follows has no meaning");
        }
        Ok(None) => assert!(bytes.len() < Header::MAX_LEN),
        Err(error) => {
            let cuts = 0..=bytes.len().min(Header::MAX_LEN);
            let certain = cuts.clone().find(|cut| Header::decode(&bytes[..*cut]).is_err()).expect("an error");
            for cut in cuts {
                let expected = if cut < certain { Ok(None) } else { Err(error) };
                assert_eq!(Header::decode(&bytes[..cut]), expected, "cut at {cut}");
            }
        }
    }
}

fn round_trip(header: Header) {
    let bytes = header.encode();
    assert_eq!(Header::decode(&bytes), Ok(Some((header, bytes.len()))));
    let rsv = u8::from(header.rsv1) << 2 | u8::from(header.rsv2) << 1 | u8::from(header.rsv3);
    let by_hand = wire::header(header.fin, rsv, header.opcode as u8, header.masking_key, header.payload_len);
    assert_eq!(&bytes[..], by_hand);
}
