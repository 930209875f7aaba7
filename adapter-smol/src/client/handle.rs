use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use async_io::Timer;
use futures_lite::future;
use ws_core::{CloseCode, Response};
use ws_sessions::{Callbacks, PeerInfo, Session, SessionGuard};
use ws_transport::Error;

use crate::{Task, WebSocket, current, duplex::Duplex, waker_set::WakerSet};

/// Handle to a client whose callbacks run in a task of their own until the connection ends. Dropping the handle does
/// not stop the client.
pub struct ClientHandle {
    session: Session,
    duplex: Weak<Duplex>,
    ended: Arc<Ended>,
}

/// Records the return of the last callback.
#[derive(Default)]
struct Ended {
    ended: AtomicBool,
    waiting: WakerSet,
}

/// Marks the client as ended when dropped, even if the task panics or is cancelled.
struct EndGuard(Arc<Ended>);

impl ClientHandle {
    pub(super) fn start(
        ws: WebSocket,
        response: Response,
        path: String,
        callbacks: Callbacks,
    ) -> (Self, Task) {
        let (mut attendance, duplex) = attend(ws, path, Arc::new(callbacks));
        let ended = Arc::new(Ended::default());
        let ending = EndGuard(ended.clone());
        let key = (owner(&ended), 0);
        let handle = Self { session: attendance.session().clone(), duplex: Arc::downgrade(&duplex), ended };
        let task = async move {
            // Drop this after everything else in the task.
            let _ending = ending;
            let ended = run_callbacks(&mut attendance, &duplex, &response, key).await;
            // The callbacks have already received the result.
            let _ = current::within(key, || attendance.finish(ended));
        };
        (handle, Box::pin(task))
    }

    /// Returns the session. Use it to send messages and to close the connection.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Waits until the connection has ended and the last callback has returned. Inside a callback of this client, it
    /// returns at once, because a callback cannot wait for itself.
    pub async fn wait(&self) {
        if self.is_in_callback() {
            return;
        }
        poll_fn(|cx| {
            self.ended.waiting.add(cx.waker());
            if self.ended.ended.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Closes the connection with 1000 and waits as [`wait`](Self::wait) does, for at most `timeout`. After the
    /// timeout it aborts the connection. Returns `true` if the last callback returned in time.
    ///
    /// Inside a callback of this client, it only starts to close the connection and returns `false`.
    pub async fn stop(self, timeout: Duration) -> bool {
        self.begin_stop();
        if self.is_in_callback() {
            return false;
        }
        let in_time = async {
            self.wait().await;
            true
        };
        let too_late = async {
            Timer::after(timeout).await;
            false
        };
        if future::or(in_time, too_late).await {
            return true;
        }
        if let Some(duplex) = self.duplex.upgrade() {
            duplex.abandon();
        }
        false
    }

    /// Starts to close the connection with 1000 and returns without waiting. The peer must answer within
    /// [`close_timeout`](ws_core::Config::close_timeout).
    pub fn begin_stop(&self) {
        // This cannot fail, because the code and the reason are valid.
        let _ = self.session.close(CloseCode::NORMAL_CLOSURE, "");
    }

    fn is_in_callback(&self) -> bool {
        current::number(owner(&self.ended)).is_some()
    }
}

/// Returns a number that is unique among all clients that currently exist.
fn owner(ended: &Arc<Ended>) -> usize {
    Arc::as_ptr(ended).addr()
}

/// Begins the session of a connection.
pub(super) fn attend(ws: WebSocket, path: String, callbacks: Arc<Callbacks>) -> (SessionGuard, Arc<Duplex>) {
    let peer = PeerInfo {
        path,
        request: None,
        address: ws.peer_addr(),
        local_address: ws.local_addr(),
        subprotocol: ws.subprotocol(),
    };
    let (duplex, _) = ws.into_parts();
    (SessionGuard::new(callbacks, duplex.clone(), peer), duplex)
}

/// Runs the callbacks of a session until its connection has ended.
pub(super) async fn run_callbacks(
    attendance: &mut SessionGuard,
    duplex: &Arc<Duplex>,
    response: &Response,
    key: current::Key,
) -> Result<(), Error> {
    current::within(key, || attendance.connect(Some(response)));
    poll_fn(|cx| current::within(key, || duplex.poll_receive_each(cx, |event| attendance.handle(event))))
        .await
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
        self.0.waiting.wake_all();
    }
}

impl fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandle").field("session", &self.session).finish_non_exhaustive()
    }
}
