//! Writes the initial inputs of the fuzzer into the given folder: frames, conversations, HTTP heads and compressed
//! messages with known edge cases.
//!
//! `cargo run -p ws-fuzz-bodies --example seeds -- fuzz/corpus`

use std::{env, fs, io, path::Path};

use flate2::{Compress, Compression, FlushCompress};
use ws_core::{
    Role,
    testing::{Frame, Head, wire},
};

type Seeds = Vec<Vec<u8>>;

/// A target and the function that creates its inputs.
type Source = (&'static str, fn() -> Seeds);

fn main() -> io::Result<()> {
    let corpus = env::args().nth(1).expect("the folder to write to");
    let targets: [Source; 12] = [
        ("header", headers),
        ("receive_server", || streams(Role::Server)),
        ("receive_client", || streams(Role::Client)),
        ("split", splits),
        ("operations", operations),
        ("handshake_server", requests),
        ("handshake_client", responses),
        ("extensions", extensions),
        ("proxy", proxies),
        ("redirect", redirects),
        ("utf8", texts),
        ("inflate", compressed),
    ];
    for (target, seeds) in targets {
        let folder = Path::new(&corpus).join(target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds().iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed)?;
        }
    }
    Ok(())
}

fn headers() -> Seeds {
    let lens = [0, 125, 126, 127, 0xFFFF, 0x1_0000, (1 << 63) - 1];
    let mut seeds: Seeds =
        lens.map(|len| wire::header(true, 0, wire::BINARY, Some([1, 2, 3, 4]), len)).into();
    seeds.push(wire::header(false, 7, wire::TEXT, None, 300));
    // Lengths in a non-minimal form.
    seeds.push(vec![0x82, 126, 0, 125]);
    seeds.push(vec![0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]);
    seeds.push(vec![0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    seeds.push(vec![0x89, 126, 0, 126]);
    seeds.push(vec![0x83, 0]);
    seeds
}

fn conversations() -> Vec<Vec<Frame>> {
    vec![
        vec![Frame::text("Hello"), Frame::binary(vec![0; 130]), Frame::close(1000, "bye")],
        vec![Frame::text("Hel").unfinished(), Frame::ping("between"), Frame::continuation("lo")],
        vec![Frame::text("gr\u{fc}n \u{20ac} \u{10ffff}"), Frame::pong(""), Frame::close(3000, "\u{fc}")],
        vec![Frame::text(*b"gr\xc3").unfinished(), Frame::continuation(*b"\xbcn")],
        vec![Frame::text(*b"\xed\xa0\x80")],
        vec![Frame::binary("a").unfinished(), Frame::text("b")],
        vec![Frame::continuation("of nothing")],
        vec![Frame::ping(vec![7; 125]); 4],
        vec![Frame::new(wire::CLOSE, [3])],
        vec![Frame::close(1005, "")],
        vec![Frame::new(wire::CLOSE, []), Frame::text("after")],
        vec![Frame::new(11, "reserved")],
        vec![Frame::text("bit").reserved(4)],
        vec![Frame::binary("").unfinished(), Frame::continuation("").unfinished(), Frame::continuation("")],
        vec![Frame::ping("cut").unfinished()],
    ]
}

fn streams(role: Role) -> Seeds {
    let streams = conversations().into_iter().map(|frames| wire::stream(role, &frames));
    let mut seeds: Seeds = streams
        .enumerate()
        .map(|(number, stream)| with([(number as u8).wrapping_mul(7) & 63], stream))
        .collect();
    // A claimed length of four exabytes, and a length in a non-minimal form.
    seeds.push(with([1], wire::header_for(role, true, wire::BINARY, 1 << 62)));
    seeds.push(with([0], [0x82, 126 | if role == Role::Server { 0x80 } else { 0 }, 0, 125]));
    seeds
}

fn splits() -> Seeds {
    let mut seeds: Seeds = Vec::new();
    for (number, frames) in conversations().iter().enumerate() {
        seeds.push(with(
            [(number as u8).wrapping_mul(7) & 63, 3, 1, 4, 9],
            wire::stream(Role::Server, frames),
        ));
        seeds.push(with([64 | 32, 1, 2], wire::stream(Role::Client, frames)));
    }
    for (number, payload) in deflated().into_iter().enumerate() {
        let frame = Frame::text(payload).reserved(4);
        seeds.push(with(
            [128 | (number as u8).wrapping_mul(13) & 63, 2, 1, 5],
            wire::stream(Role::Server, [&frame]),
        ));
    }
    seeds
}

/// Returns bytes that select many kinds of operations.
fn operations() -> Seeds {
    let ramp =
        |start: u8, step: u8| (0..200_u8).map(|at| start.wrapping_add(at.wrapping_mul(step))).collect();
    vec![ramp(0, 1), ramp(3, 7), ramp(11, 31), ramp(200, 53), ramp(90, 101), vec![0; 300], vec![0xFF; 300]]
}

fn requests() -> Seeds {
    let request = Head::request;
    let heads = [
        request(),
        request().with("Sec-WebSocket-Protocol: a, chat"),
        request().with("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
        request().with("Origin: http://server.example.com"),
        request().with("Origin: http://elsewhere.example.com"),
        request().without("Sec-WebSocket-Key"),
        request().set("Connection", "keep-alive, Upgrade").with("Content-Length: 0"),
        request().set("Sec-WebSocket-Version", "8"),
        request().first_line("POST /chat?a=b HTTP/1.1").with("Transfer-Encoding: chunked"),
        request().first_line("GET http://server.example.com/x HTTP/1.1"),
        request().with(" folded"),
        Head::new(["GET / HTTP/1.1", "Host: host"]),
    ];
    let mut seeds: Seeds = heads.iter().map(|head| with([0], head.bytes())).collect();
    seeds.push(with([31], [&request().bytes()[..], b"\x81\x80\0\0\0\0"].concat()));
    seeds
}

/// Returns responses. An at sign stands for the correct accept value, see the target.
fn responses() -> Seeds {
    let response = || {
        Head::new([
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Accept: @",
        ])
    };
    let heads = [
        response(),
        response().with("Sec-WebSocket-Protocol: chat"),
        response().with("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10"),
        response().set("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        response().without("Upgrade"),
        Head::new(["HTTP/1.1 404 Not Found", "Content-Length: 5"]),
        Head::new(["HTTP/1.1 503 Busy", "Transfer-Encoding: chunked"]),
        Head::new(["HTTP/1.1 302 Found", "Location: /elsewhere"]),
    ];
    let mut seeds: Seeds = heads.iter().map(|head| with([8], head.bytes())).collect();
    seeds[5].extend_from_slice(b"sorry");
    seeds[6].extend_from_slice(b"5\r\nsorry\r\n0\r\n\r\n");
    let interim = Head::new(["HTTP/1.1 100 Continue"]).bytes();
    seeds.push(with([0], [&interim[..], &interim, &response().bytes(), b"\x81\x00"].concat()));
    seeds
}

fn extensions() -> Seeds {
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits; server_max_window_bits=10",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "foo, permessage-deflate; client_max_window_bits=\"1\\2\"",
        "permessage-deflate; server_max_window_bits=8, permessage-deflate",
        "permessage-deflate; unknown, x; y=\"a,b\"",
        "permessage-deflate;; a",
        "\"",
    ]
    .iter()
    .map(|value| with([6, 134], value))
    .collect()
}

/// Returns replies of proxies. The first byte selects the protocol and the credentials, see the target.
fn proxies() -> Seeds {
    let http = [
        "HTTP/1.1 200 OK\r\n\r\nrest",
        "HTTP/1.0 200 Connection established\r\nProxy-Agent: a\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
        "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\n\r\n",
        "220 mail.example ESMTP\r\n",
        "HTTP/1.1 200 OK\n\n",
        "socks5://user:p%40ss@[fe80::1%25lo]:1080/",
        "localhost,.example.com 10.0.0.0/8,[::1],2001:db8::/32,*",
    ];
    let mut seeds: Seeds =
        http.iter().flat_map(|reply| [with([0], reply), with([2 | 16 | 128], reply)]).collect();
    for address in [&[1, 1, 2, 3, 4][..], &[3, 2, b'a', b'b'], &[&[4][..], &[7; 16]].concat(), &[9]] {
        seeds.push(with([1], [&[5, 0, 5, 0, 0][..], address, &[0, 80, b'x']].concat()));
        seeds.push(with([3 | 4], [&[5, 2, 1, 0, 5, 0, 0][..], address, &[0, 80]].concat()));
    }
    seeds.extend([[5, 255, 0, 0], [5, 2, 1, 1], [5, 0, 5, 5], [4, 90, 0, 0]].map(|reply| with([3], reply)));
    seeds
}

/// Returns responses that redirect. The first byte selects the URL and the limit, see the target.
fn redirects() -> Seeds {
    let redirect =
        |location: &str| format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    let chains = [
        vec!["/b", "../c?d#e", "?f"],
        vec!["ws://b/", "ws://user:secret@a/x/y?z"],
        vec!["https://b/", "http://c/"],
        vec!["wss://a:8443/x", "//a:8443/y", "//c"],
        vec!["mailto:a@b"],
        vec!["ws://[::1%25lo]:1/../.."],
        vec!["/loop"; 12],
        vec![""],
    ];
    let chains = chains.map(|chain| chain.into_iter().map(redirect).collect::<String>());
    let mut seeds: Seeds =
        chains.iter().flat_map(|chain| [with([0xA0], chain), with([0xF1], chain)]).collect();
    seeds.push(with([0xA0], "HTTP/1.1 301 Moved\r\n\r\n"));
    seeds.push(with(
        [0xA0],
        "HTTP/1.1 308 Moved\r\nLocation: /a\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
    ));
    seeds.push(with([0x01], redirect("/b")));
    seeds
}

fn texts() -> Seeds {
    let texts = [
        &b"plain"[..],
        "gr\u{fc}n \u{20ac} \u{10ffff}".as_bytes(),
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"\xe2\x82",
        b"\xf0\x9f\x92",
    ];
    let mut seeds: Seeds = texts.iter().map(|text| with([2, 1, 3], text)).collect();
    // Long enough for vectorised validation.
    seeds.push(with([1, 70], "\u{20ac}\u{fc}x".repeat(40).into_bytes()));
    seeds
}

fn deflated() -> Seeds {
    let deflate = |bytes: &[u8], level| {
        let mut codec = Compress::new(Compression::new(level), false);
        let mut out = Vec::with_capacity(bytes.len() + 100);
        codec.compress_vec(bytes, &mut out, FlushCompress::Sync).expect("a codec in order");
        out.truncate(out.len() - 4);
        out
    };
    vec![
        deflate(b"Hello", 6),
        deflate("the same again and again ".repeat(20).as_bytes(), 9),
        deflate(&[0; 3000], 1),
        // RFC 7692 7.2.3.3 to 7.2.3.5: a stored block, a final block, two blocks.
        vec![0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        vec![0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        vec![0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        vec![0x07],
        vec![0xf2, 0x48],
    ]
}

fn compressed() -> Seeds {
    let payloads = deflated().into_iter().enumerate();
    payloads.map(|(number, payload)| with([(number as u8).wrapping_mul(37), 2, 1, 5], payload)).collect()
}

fn with<const N: usize>(settings: [u8; N], rest: impl AsRef<[u8]>) -> Vec<u8> {
    [&settings[..], rest.as_ref()].concat()
}
