//! Servers of ws-smol on different executors, and the fairness between connections.

use std::{
    collections::HashSet,
    io::{self, Write as _},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use smol::{LocalExecutor, block_on, channel, future};
use ws_smol::{Callbacks, Client, CloseCode, Error, HandlerResult, Request, Server, WebSocket};
use ws_tests::{PATIENCE, Raw, bounded, certificates::Authority, wire::Frame};

async fn echo(_request: Request, mut ws: WebSocket) -> HandlerResult {
    while let Some(message) = ws.receive().await? {
        ws.feed(message).await?;
    }
    Ok(())
}

fn server() -> Server {
    Server::new().route("/", echo)
}

async fn talk(url: &str) -> Result<(), Error> {
    let mut ws = Client::new(url).tls(Authority::shared().trusted()).connect().await?;
    for size in [0, 1, 100, 100_000] {
        ws.send(vec![1; size]).await?;
        assert_eq!(ws.receive().await?.unwrap().len(), size);
    }
    ws.close(CloseCode::NORMAL_CLOSURE, "").await?;
    assert!(ws.close_info().unwrap().was_clean);
    Ok(())
}

/// Runs a server and its clients on the same thread, and stops the server.
async fn serve_and_talk(server: Server, scheme: &str) {
    let listener = server.bind("127.0.0.1:0").unwrap();
    let (url, handle) = (format!("{scheme}://{}/", listener.local_addr().unwrap()), listener.handle());
    let clients = async {
        let ((one, two), three) = future::zip(future::zip(talk(&url), talk(&url)), talk(&url)).await;
        one.and(two).and(three).unwrap();
        assert!(handle.stop(PATIENCE).await);
    };
    future::zip(listener.serve(), clients).await.0.unwrap();
    assert_eq!(handle.connections(), 0);
}

#[test]
fn a_server_runs_under_block_on_alone() {
    bounded(|| {
        block_on(serve_and_talk(server(), "ws"));
        block_on(serve_and_talk(server().tls(Authority::shared().server().serving()), "wss"));
    });
}

#[test]
fn a_server_runs_inside_a_local_executor() {
    bounded(|| {
        let executor = LocalExecutor::new();
        let not_send = std::rc::Rc::new(());
        let serving = executor.spawn(async move {
            serve_and_talk(server(), "ws").await;
            drop(not_send);
        });
        block_on(executor.run(serving));
    });
}

#[test]
fn a_server_hands_its_tasks_to_the_executor_of_the_application() {
    bounded(|| {
        let spawned = Arc::new(Mutex::new(0));
        let count = spawned.clone();
        let server = server().spawner(move |task| {
            *count.lock().unwrap() += 1;
            smol::spawn(task).detach();
        });
        block_on(serve_and_talk(server, "ws"));
        assert_eq!(*spawned.lock().unwrap(), 3);
    });
}

#[test]
fn a_server_hands_its_tasks_to_threads_if_that_is_the_spawner() {
    bounded(|| {
        let threads = Arc::new(Mutex::new(HashSet::new()));
        let seen = threads.clone();
        let server = Server::new().route("/", move |request, ws| {
            seen.lock().unwrap().insert(thread::current().id());
            echo(request, ws)
        });
        let server = server.spawner(|task| drop(thread::spawn(|| block_on(task))));
        block_on(serve_and_talk(server, "ws"));
        assert_eq!(threads.lock().unwrap().len(), 3);
    });
}

#[test]
fn a_server_serves_as_a_task_of_the_global_executor() {
    bounded(|| block_on(smol::spawn(serve_and_talk(server(), "ws"))));
}

#[test]
fn a_handler_that_waits_keeps_no_other_connection_waiting() {
    bounded(|| {
        let (release, released) = channel::bounded::<()>(1);
        let server = server().route("/waits", move |_, ws| {
            let released = released.clone();
            async move {
                let _ = released.recv().await;
                drop(ws);
                Ok(())
            }
        });
        block_on(async {
            let listener = server.bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let handle = listener.handle();
            let clients = async {
                let mut waiting = ws_smol::connect(&format!("ws://{address}/waits")).await.unwrap();
                talk(&format!("ws://{address}/")).await.unwrap();
                drop(release);
                assert_eq!(waiting.receive().await.unwrap(), None);
                assert_eq!(waiting.close_info().unwrap().code, CloseCode::NORMAL_CLOSURE);
                assert!(handle.stop(PATIENCE).await);
            };
            future::zip(listener.serve(), clients).await.0.unwrap();
        });
    });
}

#[test]
fn a_client_that_floods_lets_others_have_their_turn() {
    flood(server());
}

#[test]
fn a_client_that_floods_callbacks_lets_others_have_their_turn() {
    flood(Server::new().mount(
        "/",
        Callbacks::new().on_message(|session, message| {
            let _ = session.feed(message);
        }),
    ));
}

/// Runs clients of an echo server while another client sends without end.
fn flood(server: Server) {
    bounded(move || {
        block_on(async {
            let listener = server.bind("127.0.0.1:0").unwrap();
            let (address, handle) = (listener.local_addr().unwrap(), listener.handle());
            let (done, is_done) = channel::bounded::<()>(1);
            let flooding = thread::spawn(move || {
                let raw = Raw::open(address, "/");
                let mut reading = raw.socket().try_clone().unwrap();
                thread::spawn(move || io::copy(&mut reading, &mut io::sink()));
                let frames = Frame::text("flood").masked().encode().repeat(10_000);
                // At the end the server disconnects the flooding client.
                while !is_done.is_closed() && raw.socket().write_all(&frames).is_ok() {}
            });
            let clients = async {
                for _ in 0..4 {
                    talk(&format!("ws://{address}/")).await.unwrap();
                }
                drop(done);
                // The flooding client does not answer a Close.
                handle.stop(Duration::from_millis(100)).await;
            };
            future::zip(listener.serve(), clients).await.0.unwrap();
            flooding.join().unwrap();
        });
    });
}
