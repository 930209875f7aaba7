//! Tasks of ws-smol that only send, dropped futures, and wakers that run their task at once.

use std::{
    borrow::Cow,
    future::Future,
    io::Write as _,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, JoinHandle},
    time::Duration,
};

use smol::block_on;
use ws_smol::{Chunk, CloseCode, Error, Message, SendError, WebSocket};
use ws_tests::{
    PATIENCE, Raw, RawListener, Transport, bounded,
    either::{self, Adapter, Handed, Pairing, Route, Running},
    eventually,
    wire::Frame,
};

/// Size of a message above the kernel's buffers.
const MUCH: usize = 16 << 20;
/// The configured close timeout.
const SHORT: Duration = Duration::from_millis(300);

/// Returns a server, its end of a connection, and the raw client.
fn hand_over() -> (Running, Handed, Raw) {
    let (route, take) = Route::hand_over(Adapter::Smol);
    let pairing = Pairing { client: Adapter::Smol, server: Adapter::Smol, transport: Transport::Plain };
    let server = pairing.serve(route).configure(|config| config.close_timeout = SHORT).start();
    let raw = Raw::open(server.address(), "/");
    (server, take(), raw)
}

fn websocket(handed: &Handed) -> &WebSocket {
    match &handed.ws {
        either::WebSocket::Smol(ws) => ws,
        either::WebSocket::Std(_) => unreachable!("the server is of ws-smol"),
    }
}

#[test]
fn try_send_works_again_when_the_peer_has_caught_up() {
    bounded(|| {
        const SIZE: usize = 10_000;
        let (_server, handed, raw) = hand_over();
        // The handler of such a connection sends and never receives.
        let ws = websocket(&handed);
        let mut sent = 0;
        let mut fill = || loop {
            match ws.try_send(vec![7; SIZE]) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        let refused = fill();
        assert!(matches!(refused, Error::Send(SendError::BufferFull)), "{refused}");
        assert!(sent > 0);
        let reading = read(raw);
        eventually("there is room again", || ws.try_send("more").is_ok());
        block_on(ws.flush()).unwrap();
        drop(handed);
        let frames = reading.join().unwrap();
        assert_eq!(frames.iter().filter(|frame| frame.payload.len() == SIZE).count(), sent);
        assert_eq!(frames[sent], Frame::text("more"));
    });
}

/// A task that its waker runs at once, on the stack of the caller.
struct InlineTask {
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    woken: AtomicBool,
}

impl InlineTask {
    fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Arc<Self> {
        let task =
            Arc::new(Self { future: Mutex::new(Some(Box::pin(future))), woken: AtomicBool::new(false) });
        task.clone().wake();
        task
    }

    fn is_done(&self) -> bool {
        self.future.try_lock().is_ok_and(|future| future.is_none())
    }
}

impl Wake for InlineTask {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, SeqCst);
        let waker = Waker::from(self.clone());
        // If another thread or an outer caller is running the task, that one runs it once more.
        while self.woken.load(SeqCst)
            && let Ok(mut future) = self.future.try_lock()
        {
            self.woken.store(false, SeqCst);
            if let Some(running) = &mut *future
                && running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
            {
                *future = None;
            }
        }
    }
}

/// A waker that uses the connection that it is registered with, as a waker may that runs its task at once.
struct Using(ws_smol::Sender);

impl Wake for Using {
    fn wake(self: Arc<Self>) {
        let _ = self.0.state();
    }
}

#[test]
fn a_waker_that_is_replaced_may_use_the_connection() {
    bounded(|| {
        let (ws, _raw) = RawListener::connected(|url| block_on(ws_smol::connect(url)).unwrap());
        let (sender, mut receiver) = ws.split();
        for waker in [Arc::new(Using(sender)).into(), Waker::noop().clone()] {
            let receiving = pin!(receiver.receive());
            assert!(receiving.poll(&mut Context::from_waker(&waker)).is_pending());
        }
    });
}

/// Runs `act` while a receiving task and sending tasks, all run by their wakers, wait for a peer that does not read
/// yet. All tasks must end.
fn expect_no_deadlock(act: impl FnOnce(&ws_smol::Sender, &Running) + Send + 'static) {
    bounded(move || {
        let (server, handed, raw) = hand_over();
        let either::WebSocket::Smol(ws) = handed.ws else { unreachable!("the server is of ws-smol") };
        let (sender, mut receiver) = ws.split();
        let mut tasks =
            vec![InlineTask::spawn(async move { while let Ok(Some(_)) = receiver.receive().await {} })];
        for payload in [vec![7; MUCH], vec![8; 1]] {
            let sender = sender.clone();
            tasks.push(InlineTask::spawn(async move {
                let _ = sender.send_chunk(Chunk { payload: payload.into(), last: false }).await;
            }));
        }
        assert!(tasks.iter().all(|task| !task.is_done()));
        act(&sender, &server);
        let reading = thread::spawn(move || {
            let mut raw = raw;
            while let Ok(Some(frame)) = raw.try_frame() {
                if frame.opcode == Frame::CLOSE {
                    // The connection may have been aborted meanwhile.
                    let _ = raw.socket().write_all(&frame.masked().encode());
                }
            }
        });
        block_on(sender.close(CloseCode::NORMAL_CLOSURE, "")).unwrap();
        eventually("all tasks have ended", || tasks.iter().all(|task| task.is_done()));
        reading.join().unwrap();
    });
}

#[test]
fn wakers_that_run_their_task_at_once_do_not_deadlock_close() {
    expect_no_deadlock(|sender, _| {
        let closing = sender.clone();
        let closing = InlineTask::spawn(async move {
            let _ = closing.close(CloseCode::NORMAL_CLOSURE, "").await;
        });
        assert!(!closing.is_done());
    });
}

#[test]
fn wakers_that_run_their_task_at_once_do_not_deadlock_try_send() {
    expect_no_deadlock(|sender, _| {
        sender.try_send("another").unwrap_err();
    });
}

#[test]
fn wakers_that_run_their_task_at_once_do_not_deadlock_abort_message() {
    expect_no_deadlock(|sender, _| sender.abort_message());
}

#[test]
fn wakers_that_run_their_task_at_once_do_not_deadlock_stop() {
    expect_no_deadlock(|_, server| {
        server.handle().stop(Duration::from_millis(50));
    });
}

#[test]
fn a_server_whose_wakers_run_their_task_at_once_serves_and_stops() {
    bounded(|| {
        let server = ws_smol::Server::new().route("/", |_, mut ws| async move {
            while let Some(message) = ws.receive().await? {
                ws.feed(message).await?;
            }
            Ok(())
        });
        let server = server.spawner(|task| drop(InlineTask::spawn(task)));
        let listener = server.bind("127.0.0.1:0").unwrap();
        let (address, handle) = (listener.local_addr().unwrap(), listener.handle());
        let serving = InlineTask::spawn(async move { listener.serve().await.unwrap() });
        let mut raws = [Raw::open(address, "/"), Raw::open(address, "/")];
        for raw in &mut raws {
            raw.send(Frame::text("here"));
            assert_eq!(raw.frame(), Frame::text("here"));
        }
        let stopping = InlineTask::spawn(async move { assert!(handle.stop(PATIENCE).await) });
        for mut raw in raws {
            assert_eq!(raw.frame().code_and_reason().0, 1001);
            raw.send(Frame::close(1001, ""));
            assert_eq!(raw.next_frame(), None);
        }
        eventually("it has stopped", || serving.is_done() && stopping.is_done());
    });
}

/// Polls a new future once and drops it.
fn try_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Returns a connection with a queued first chunk, so that there is no room for another.
fn half_a_message() -> (Running, Handed, Raw) {
    let (server, handed, raw) = hand_over();
    let first = Chunk { payload: vec![1; MUCH].into(), last: false };
    assert!(try_once(websocket(&handed).send_chunk(first)).is_none(), "the kernel does not hold all of it");
    (server, handed, raw)
}

const fn chunk(payload: &'static str, last: bool) -> Chunk<'static> {
    Chunk { payload: Message::Binary(Cow::Borrowed(payload.as_bytes())), last }
}

/// Reads frames in another thread until the stream ends.
fn read(mut raw: Raw) -> JoinHandle<Vec<Frame>> {
    thread::spawn(move || {
        let mut frames = Vec::new();
        while let Some(frame) = raw.next_frame() {
            if frame.opcode == Frame::CLOSE {
                raw.send(frame.clone());
            }
            frames.push(frame);
        }
        frames
    })
}

#[test]
fn a_chunk_after_one_that_was_dropped_is_refused() {
    bounded(|| {
        let (_server, handed, raw) = half_a_message();
        let ws = websocket(&handed);
        assert!(try_once(ws.send_chunk(chunk("two", false))).is_none());
        let reading = read(raw);
        let error = block_on(ws.send_chunk(chunk("three", true))).unwrap_err();
        assert!(matches!(error, Error::Send(SendError::ChunkSkipped)), "{error}");
        ws.abort_message();
        let error = block_on(ws.send("another")).unwrap_err();
        assert!(matches!(error, Error::Closed(_)), "{error}");
        drop(handed);
        let frames = reading.join().unwrap();
        let [first, close] = &*frames else { panic!("{} frames", frames.len()) };
        assert_eq!((first.fin, first.payload.len()), (false, MUCH));
        assert_eq!(close.code_and_reason().0, 1011);
    });
}

#[test]
fn a_chunk_that_was_dropped_may_be_sent_again() {
    bounded(|| {
        let (_server, handed, raw) = half_a_message();
        let ws = websocket(&handed);
        for _ in 0..3 {
            assert!(try_once(ws.send_chunk(chunk("two", true))).is_none());
        }
        let reading = read(raw);
        block_on(ws.send_chunk(chunk("two", true))).unwrap();
        drop(handed);
        let frames = reading.join().unwrap();
        let [first, last, close] = &*frames else { panic!("{} frames", frames.len()) };
        assert_eq!((first.fin, first.payload.len()), (false, MUCH));
        assert_eq!((last.fin, &*last.payload), (true, &b"two"[..]));
        assert_eq!(close.code_and_reason().0, 1000);
    });
}
