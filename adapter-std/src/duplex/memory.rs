//! The memory of a connection as a part of the memory of its server.

use std::{
    mem,
    sync::{Arc, MutexGuard, Weak},
};

use ws_core::Transmit;
use ws_transport::{Driver, Evict, ServerMemory};

use super::Duplex;

impl Duplex {
    /// Counts the memory of this connection for a server from now on.
    pub(crate) fn join(self: &Arc<Self>, memory: &Arc<ServerMemory>) {
        let owner: Weak<dyn Evict> = Arc::<Self>::downgrade(self);
        self.driver().join(memory.clone(), owner);
    }

    /// Ends connections, because the server has too little memory and this connection has grown. Releases the driver
    /// meanwhile.
    #[cold]
    pub(crate) fn relieve<'d>(&'d self, mut driver: MutexGuard<'d, Driver>) -> MutexGuard<'d, Driver> {
        let memory = driver.take_excess();
        drop(driver);
        if let Some(memory) = memory {
            memory.relieve();
        }
        self.driver()
    }
}

impl Evict for Duplex {
    fn evict(self: Arc<Self>) {
        let mut driver = self.driver();
        let has_much_output = driver.evict();
        self.report_time(&mut driver);
        drop(driver);
        if !has_much_output {
            return self.watch_end(self.flush_without_waiting());
        }
        // Another thread that holds it drops the output when it wakes up.
        if let Ok(mut writing) = self.writing.try_lock() {
            drop(mem::take::<Transmit>(&mut writing));
        }
        self.abandon();
    }
}
