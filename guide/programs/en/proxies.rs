use std::env;

use ws_std::Client;

fn main() -> Result<(), ws_std::Error> {
    let mut arguments = env::args().skip(2);
    let url = arguments.next().unwrap_or_else(|| "wss://example.com/".into());
    let client = Client::new(&url);
    let client = match arguments.next() {
        // `http://`, `https://`, `socks5://` or `socks5h://`, with user and password if necessary.
        Some(proxy) => client.proxy(&proxy),
        // `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy`, by the rules of curl.
        None => client.proxy_from_environment(),
    };
    let mut ws = client.connect()?;
    ws.send("through the proxy")?;
    if let Some(message) = ws.receive()? {
        println!("received: {message}");
    }
    Ok(())
}
