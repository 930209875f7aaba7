use std::{io::Read, thread};

use ws_std::{Chunk, CloseCode, Delivery, Route, Server};

const SIZE: u64 = 800 * 64 * 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // ANCHOR: server
    let upload = Route::new(|_request, mut ws| {
        let mut received = 0;
        while let Some(chunk) = ws.receive_chunk()? {
            received += chunk.payload.len();
            if chunk.last {
                ws.send(format!("received {received} bytes"))?;
            }
        }
        Ok(())
    });
    let upload = upload.configure(|config| {
        config.delivery = Delivery::Chunks;
        config.max_message_size = 1 << 30;
    });
    let server = Server::new().mount("/upload", upload);
    // ANCHOR_END: server
    let listener = server.bind("127.0.0.1:0")?;
    let url = format!("ws://{}/upload", listener.local_addr()?);
    thread::spawn(|| listener.serve());
    // ANCHOR: client
    let mut ws = ws_std::connect(&url)?;
    let mut file = std::io::repeat(7).take(SIZE);
    let mut buffer = vec![0; 64 * 1024];
    let mut sent = 0;
    loop {
        let len = file.read(&mut buffer)?;
        if len == 0 {
            break;
        }
        sent += len as u64;
        ws.send_chunk(Chunk::new(&buffer[..len]))?;
        if sent.is_multiple_of(SIZE / 2) {
            println!("{} %", sent * 100 / SIZE);
        }
    }
    ws.send_chunk(Chunk::last(&[]))?;
    // ANCHOR_END: client
    if let Some(message) = ws.receive()? {
        println!("{message}");
    }
    Ok(ws.close(CloseCode::NORMAL_CLOSURE, "")?)
}
