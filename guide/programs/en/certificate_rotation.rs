use std::{fs, io, thread, time::Duration};

use ws_std::{Server, ServerTls};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut modified = fs::metadata("server.pem")?.modified()?;
    let tls = ServerTls::from_files("server.pem", "server.key")?;
    let certificates = tls.certificates();
    let server = Server::new().tls(tls).route("/", |_request, ws| {
        ws.send("welcome")?;
        Ok(())
    });
    thread::spawn(move || -> io::Result<()> {
        loop {
            // Watching the file would need one more crate.
            thread::sleep(Duration::from_millis(100));
            let now = fs::metadata("server.pem")?.modified()?;
            if now != modified {
                match certificates.replace_files("server.pem", "server.key") {
                    Ok(()) => {
                        modified = now;
                        println!("the certificate was replaced");
                    }
                    // The old certificate stays in use, and the next look tries again.
                    Err(error) => eprintln!("{error}"),
                }
            }
        }
    });
    Ok(server.listen("127.0.0.1:9171")?)
}
