//! A server without free file descriptors. This is the only test of its program, because it takes them from the whole
//! process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use ws_std::Server;
use ws_tests::{Running, bounded, echo, eventually, kernel};

#[test]
fn a_server_without_descriptors_serves_again_when_there_are_some() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let mut early = ws_std::connect(&server.url("/")).unwrap();
        let all = getrlimit(Resource::Nofile);
        let few = kernel::file_descriptors() as u64 + 21;
        setrlimit(Resource::Nofile, Rlimit { current: Some(few), ..all }).unwrap();
        // The clients use descriptors too, until none is left for the server.
        let mut taken = Vec::new();
        while let Ok(stream) = std::net::TcpStream::connect(server.address()) {
            taken.push(stream);
        }
        assert!(taken.len() >= 10, "{}", taken.len());
        early.send("not disturbed").unwrap();
        assert_eq!(early.receive().unwrap().unwrap(), "not disturbed");
        taken.clear();
        eventually("it serves again", || {
            let Ok(mut ws) = ws_std::connect(&server.url("/")) else { return false };
            ws.send("back").is_ok() && ws.receive().is_ok_and(|message| message.is_some())
        });
        setrlimit(Resource::Nofile, all).unwrap();
    });
}
