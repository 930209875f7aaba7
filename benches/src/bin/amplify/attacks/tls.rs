//! The first message of a TLS client, written by hand.

/// Returns a record with a `ClientHello` of TLS 1.3 for the curve X25519. The server answers it with a key exchange and
/// a signature, and the client needs neither.
pub(super) fn client_hello() -> Vec<u8> {
    // A point of the curve: the base point.
    let share = [&[9][..], &[0; 31]].concat();
    let extensions = [
        extension(0x000A, &[0x00, 0x02, 0x00, 0x1D]), // supported groups: X25519
        extension(0x000D, &[0x00, 0x04, 0x04, 0x03, 0x08, 0x04]), // ECDSA and RSA-PSS with SHA-256
        extension(0x002B, &[0x02, 0x03, 0x04]),       // version 1.3
        extension(0x0033, &[&[0x00, 0x24, 0x00, 0x1D, 0x00, 0x20], &*share].concat()),
    ]
    .concat();
    let mut body = vec![0x03, 0x03];
    body.extend([7; 32]); // random
    body.push(0); // no session
    body.extend([0x00, 0x02, 0x13, 0x01]); // AES-128-GCM with SHA-256
    body.extend([0x01, 0x00]); // no compression
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut record = vec![0x16, 0x03, 0x01];
    record.extend((body.len() as u16 + 4).to_be_bytes());
    record.extend([0x01, 0x00]);
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), value].concat()
}
