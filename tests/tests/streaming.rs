//! Messages that are larger than the permitted memory. This is the only test of its program, because it measures the
//! memory of the whole process.

use std::sync::{Mutex, mpsc};

use ws_std::{Chunk, CloseCode, Delivery, Route, Server};
use ws_tests::{PATIENCE, Running, bounded, kernel};

const CHUNK: usize = 64 << 10;
const CHUNKS: usize = 512;

/// Returns the byte at this position of the message.
fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

#[test]
fn a_message_of_32_mib_streams_through_in_little_memory() {
    bounded(|| {
        let (tell, told) = mpsc::channel();
        let tell = Mutex::new(tell);
        let route = Route::new(move |_, mut ws| {
            let (mut size, mut largest) = (0, 0);
            while let Some(chunk) = ws.receive_chunk()? {
                let bytes = chunk.payload.as_bytes();
                assert!(bytes.iter().enumerate().all(|(at, &found)| found == byte(size + at)));
                size += bytes.len();
                largest = largest.max(bytes.len());
                if chunk.last {
                    tell.lock().unwrap().send((size, largest))?;
                    ws.send("thank you")?;
                }
            }
            Ok(())
        });
        let route = route.configure(|config| {
            config.delivery = Delivery::Chunks;
            config.max_message_size = CHUNK * CHUNKS;
        });
        let server = Running::start(Server::new().mount("/", route));
        let mut ws = ws_std::connect(&server.url("/")).unwrap();
        let before = kernel::peak_memory();
        for number in 0..CHUNKS {
            let payload: Vec<u8> = (number * CHUNK..(number + 1) * CHUNK).map(byte).collect();
            ws.send_chunk(Chunk { payload: payload.into(), last: number + 1 == CHUNKS }).unwrap();
        }
        let (size, largest) = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(size, CHUNK * CHUNKS);
        assert!(largest <= CHUNK, "a chunk of {largest} bytes");
        let grown = kernel::peak_memory() - before;
        assert!(grown < 4 << 20, "{grown} bytes more");
        assert_eq!(ws.receive().unwrap().unwrap(), "thank you");
        ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    });
}
