//! Keeps the cookies of a server over reconnects: a cookie that the server sets with its response goes into the later
//! requests. All requests go to one URL, so that the attributes of cookies do not matter here. For several URLs, use a
//! cookie store, such as the crate `cookie_store`.
//!
//! `cargo run --example cookies -- [URL]`

use std::collections::BTreeMap;

use ws_std::{Client, Error};

fn main() -> Result<(), Error> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:9001/".into());
    let mut cookies = BTreeMap::new();
    for _ in 0..3 {
        let header = header(&cookies);
        let client = Client::new(&url);
        let client = if header.is_empty() { client } else { client.header("Cookie", &header) };
        let (mut ws, response) = client.connect_with_response()?;
        cookies.extend(response.cookies().map(|(name, value)| (name.to_owned(), value.to_owned())));
        println!("sent {header:?}");
        while let Some(message) = ws.receive()? {
            println!("received: {message}");
        }
    }
    Ok(())
}

/// Returns the value of the header `Cookie`.
fn header(cookies: &BTreeMap<String, String>) -> String {
    cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
}
