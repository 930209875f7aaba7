//! The memory of a connection as a part of the memory of its server.

use std::{
    sync::{Arc, Weak},
    task::{Context, Waker},
};

use ws_transport::{Evict, ServerMemory};

use super::{Duplex, Inner};

impl Duplex {
    /// Counts the memory of this connection for a server from now on.
    pub(crate) fn join(self: &Arc<Self>, memory: &Arc<ServerMemory>) {
        let owner: Weak<dyn Evict> = Arc::<Self>::downgrade(self);
        self.lock().driver.join(memory.clone(), owner);
    }
}

impl Inner {
    /// Ends connections after the lock is released, because the server has too little memory and this connection has grown.
    #[cold]
    pub(crate) fn relieve(&mut self) {
        if let Some(memory) = self.driver.take_excess() {
            self.wakers.add(&Waker::from(memory));
        }
    }

    /// Counts the input that waits until a sender has room.
    pub(super) fn settle_blocked(&mut self) {
        self.driver.set_input_buffers(self.input.memory());
        self.driver.settle();
        // The next turn has received this input.
        self.driver.set_input_buffers(0);
        self.relieve();
    }
}

impl Evict for Duplex {
    fn evict(self: Arc<Self>) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let has_much_output = inner.driver.evict();
        inner.input.consume(|input| *input = &mut []);
        inner.assembler = None;
        inner.driver.forget_assembled();
        if has_much_output {
            drop(guard);
            return self.abandon();
        }
        let _ = self.poll_flush(inner, &mut Context::from_waker(Waker::noop()));
        self.report_time(inner);
    }
}
