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
use ws_sessions::{Attendance, Callbacks, Peer, Session};

use crate::{Task, WebSocket, current, duplex::Duplex, waker_set::WakerSet};

/// A client that runs in a task of its own, until the connection has ended. Dropping the handle does not
/// end it.
pub struct ClientHandle {
    session: Session,
    duplex: Weak<Duplex>,
    ended: Arc<Ended>,
}

/// Whether the last callback has returned.
#[derive(Default)]
struct Ended {
    ended: AtomicBool,
    waiting: WakerSet,
}

/// Tells that it has, whatever became of the task.
struct Ending(Arc<Ended>);

impl ClientHandle {
    pub(super) fn start(
        ws: WebSocket,
        response: Response,
        path: String,
        callbacks: Callbacks,
    ) -> (Self, Task) {
        let peer = Peer {
            path,
            request: None,
            address: ws.peer_addr(),
            local_address: ws.local_addr(),
            subprotocol: ws.subprotocol(),
        };
        let (duplex, _) = ws.into_parts();
        let attendance = Attendance::new(Arc::new(callbacks), duplex.clone(), peer);
        let ended = Arc::new(Ended::default());
        let ending = Ending(ended.clone());
        let key = (owner(&ended), 0);
        let handle = Self { session: attendance.session().clone(), duplex: Arc::downgrade(&duplex), ended };
        let task = async move {
            // Dropped last.
            let _ending = ending;
            let mut attendance = attendance;
            current::within(key, || attendance.connect(Some(&response)));
            let ended = poll_fn(|cx| {
                current::within(key, || duplex.poll_receive_each(cx, |event| attendance.handle(event)))
            });
            let ended = ended.await;
            // The callbacks were told.
            let _ = current::within(key, || attendance.finish(ended));
        };
        (handle, Box::pin(task))
    }

    /// The session, to send to and to close.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Waits until the connection has ended and the last callback has returned. Inside a callback of this client, which
    /// cannot wait for itself, this returns at once.
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

    /// Closes the connection with 1000 and waits as [`wait`](Self::wait) does, but not longer than `timeout`. A
    /// connection that has not ended by then is broken off. Returns `true` if the last callback has returned in time.
    ///
    /// Inside a callback of this client, this only begins to close and returns `false`.
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

    /// Begins to close the connection with 1000, and does not wait. The peer has
    /// [`close_timeout`](ws_core::Config::close_timeout) to answer.
    pub fn begin_stop(&self) {
        // It cannot fail: this code and reason can be sent.
        let _ = self.session.close(CloseCode::NORMAL_CLOSURE, "");
    }

    fn is_in_callback(&self) -> bool {
        current::number(owner(&self.ended)).is_some()
    }
}

/// Returns a number that no other client has while this one exists.
fn owner(ended: &Arc<Ended>) -> usize {
    Arc::as_ptr(ended).addr()
}

impl Drop for Ending {
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
