//! Listening sockets from a service manager, and threads of the application.

use std::{
    env,
    net::TcpListener,
    os::fd::OwnedFd,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
};

use ws_std::inherited_sockets;
use ws_tests::{
    PATIENCE, Raw, bounded,
    either::{Adapter, Client, Route, Server},
    eventually,
};

/// The variable that selects the adapter of the child process.
const CHILD: &str = "WS_TESTS_INHERITS";

#[test]
fn both_adapters_serve_a_socket_that_a_service_manager_has_passed() {
    if let Ok(adapter) = env::var(CHILD) {
        return serve_in_child(if adapter == "std" { Adapter::Std } else { Adapter::Smol });
    }
    bounded(|| {
        for (name, adapter) in [("std", Adapter::Std), ("smol", Adapter::Smol)] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            // The shell passes its standard input on as file descriptor 3, as systemd does.
            let script = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
            let mut child = Command::new("sh")
                .args(["-c", script, "sh"])
                .arg(env::current_exe().unwrap())
                .args(["--exact", "both_adapters_serve_a_socket_that_a_service_manager_has_passed"])
                .env(CHILD, name)
                .stdin(Stdio::from(OwnedFd::from(listener)))
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let mut client = Client::new(adapter, &format!("ws://{address}/")).connect().unwrap();
            client.send("Hello").unwrap();
            assert_eq!(client.message(), "Hello");
            client.send("stop").unwrap();
            assert_eq!(client.message(), "stop");
            client.receive_to_end().unwrap();
            assert!(child.wait().unwrap().success());
        }
    });
}

/// Serves one client on the inherited socket.
fn serve_in_child(adapter: Adapter) {
    let mut sockets = inherited_sockets().unwrap();
    assert_eq!(sockets.len(), 1);
    assert!(inherited_sockets().unwrap().is_empty(), "they were taken");
    let (route, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", route).bind_socket(sockets.remove(0)).unwrap();
    let mut handed = take();
    loop {
        let message = handed.ws.message();
        handed.ws.send(message.clone()).unwrap();
        if message == "stop" {
            break;
        }
    }
    drop(handed);
    assert!(server.handle().stop(PATIENCE));
}

#[test]
fn a_process_without_a_service_manager_inherits_no_sockets() {
    assert!(inherited_sockets().unwrap().is_empty());
}

#[test]
fn connections_run_on_the_threads_of_the_application() {
    bounded(|| {
        let begun = Arc::new(AtomicUsize::new(0));
        let (jobs, queue) = mpsc::channel::<ws_std::Job>();
        let counted = begun.clone();
        let pool = thread::spawn(move || {
            thread::scope(|scope| {
                for job in queue {
                    counted.fetch_add(1, SeqCst);
                    thread::Builder::new()
                        .name("of the application".into())
                        .spawn_scoped(scope, job)
                        .unwrap();
                }
            });
        });
        let server = ws_std::Server::new()
            .route("/", |_, mut ws| {
                assert_eq!(thread::current().name(), Some("of the application"));
                while let Some(message) = ws.receive()? {
                    ws.send(message)?;
                }
                Ok(())
            })
            .threads(3..=2_usize.pow(4))
            .spawner(move |job| jobs.send(job).expect("the pool runs"))
            .bind("127.0.0.1:0")
            .unwrap();
        let (address, handle) = (server.local_addr().unwrap(), server.handle());
        let serving = thread::spawn(move || server.serve());
        for _ in 0..3 {
            let mut ws = ws_std::connect(&format!("ws://{address}/")).unwrap();
            ws.send("Hello").unwrap();
            assert_eq!(ws.receive().unwrap().unwrap(), "Hello");
        }
        assert!(handle.stop(PATIENCE));
        serving.join().unwrap().unwrap();
        assert_eq!(begun.load(SeqCst), 3, "no job for an idle thread");
        drop(handle);
        pool.join().unwrap();
    });
}

#[test]
fn a_job_that_the_application_drops_or_refuses_frees_its_place() {
    bounded(|| {
        for panics in [Some("no thread"), None] {
            let server = ws_std::Server::new().max_connections(1).spawner(move |_job| {
                if let Some(text) = panics {
                    panic!("{text}");
                }
            });
            let monitor = server.monitor();
            let server = server.bind("127.0.0.1:0").unwrap();
            let (address, handle) = (server.local_addr().unwrap(), server.handle());
            let serving = thread::spawn(move || server.serve());
            for count in 1..=3 {
                let mut raw = Raw::connect(address);
                let rest = raw.rest().unwrap_or_default();
                if panics.is_some() {
                    assert!(rest.starts_with(b"HTTP/1.1 503 "));
                    eventually("the refusal is counted", || monitor.stats().refused == count);
                } else {
                    assert!(rest.is_empty());
                }
            }
            assert!(handle.stop(PATIENCE));
            serving.join().unwrap().unwrap();
            assert_eq!(monitor.stats().connections, 0);
        }
    });
}
