//! The memory of a connection, and its end if the server has too little.

use std::sync::{Arc, Weak};

use ws_core::{Chunk, CloseCode, MemoryBudget, Message};

use super::Driver;
use crate::{Evict, MessageAssembler, ServerMemory};

/// Accounting of memory. The share of the connection is updated when a turn begins, and whenever much output is queued or
/// written.
impl Driver {
    /// Counts the memory of the connection for this server from now on. `owner` is ended if the server has too little
    /// memory and this connection is the largest.
    pub fn join(&mut self, memory: Arc<ServerMemory>, owner: Weak<dyn Evict>) {
        self.account.join(memory, owner);
    }

    /// Reports the size in bytes of the input buffers that the adapter holds.
    pub fn set_input_buffers(&mut self, bytes: usize) {
        self.account.set_input(bytes);
    }

    /// Returns `true` if this connection has grown while the limit of the server is exceeded. Call
    /// [`take_excess`](Self::take_excess) then.
    #[must_use]
    #[inline]
    pub const fn has_excess(&self) -> bool {
        self.account.has_excess
    }

    /// Returns the memory of the server if this connection has grown while the limit is exceeded. Call
    /// [`ServerMemory::relieve`] without holding a lock.
    #[must_use]
    #[cold]
    pub fn take_excess(&mut self) -> Option<Arc<ServerMemory>> {
        self.account.take_excess()
    }

    /// Updates the share when a turn begins. Most turns find that the connection holds no input and has no share. Output
    /// counts when much is queued at once, and when it has to wait.
    #[inline]
    pub(super) fn settle_turn(&mut self) {
        if self.account.is_active() || self.connection.input_memory() > 0 {
            self.settle();
        }
    }

    /// Updates the share of the connection. An adapter calls it when output has to wait.
    #[cold]
    #[inline(never)]
    pub fn settle(&mut self) {
        let bytes = self.memory();
        if bytes >= MemoryBudget::STEP || self.account.is_open() {
            self.account.set(bytes);
        }
    }

    /// Reports that the adapter has dropped the message that it assembled from chunks.
    pub fn forget_assembled(&mut self) {
        self.account.set_assembled(0);
        self.settle_written();
    }

    /// Updates the share after a message of this length was queued. Many small ones count when they have to wait.
    #[inline]
    pub(super) fn settle_queued(&mut self, len: usize) {
        if len >= MemoryBudget::STEP {
            self.settle();
        }
    }

    /// Updates the share after output was written.
    #[inline]
    pub(super) fn settle_written(&mut self) {
        if self.account.is_open() {
            self.settle();
        }
    }

    /// Frees memory that a connection without traffic does not need.
    #[inline]
    pub fn release_idle(&mut self) {
        self.recycled.release();
        self.account.close_if_empty();
    }

    /// Returns the number of bytes of memory for input and output.
    fn memory(&self) -> usize {
        let output = self.account.unshared(self.connection.buffered()).max(self.batch.unwritten());
        let waiting = self.outbox.as_ref().map_or(0, |outbox| outbox.own_bytes());
        let early = self.early.as_ref().map_or(0, |early| early.bytes());
        self.connection
            .input_memory()
            .saturating_add(output)
            .saturating_add(waiting + early + self.account.outside())
    }

    /// Fails the connection with 1013 (Try Again Later), because the server has too little memory. Returns `true` if much
    /// output is left. A Close would have to wait behind it, so the adapter has to end the connection without one.
    pub fn evict(&mut self) -> bool {
        (self.outbox, self.early) = (None, None);
        // It cannot fail, because this code and this reason are valid.
        let _ = self.connection.fail(CloseCode::TRY_AGAIN_LATER, "the server is short of memory");
        let has_much_output = self.connection.buffered() >= MemoryBudget::STEP;
        if has_much_output {
            self.fail_output();
        }
        self.settle_written();
        has_much_output
    }

    /// Adds a chunk to a message that is assembled. Returns the message if the chunk is its last one. Without memory for
    /// the chunk, the connection fails with 1009 (Message Too Big), and the message is dropped.
    pub fn assemble(
        &mut self,
        assembler: &mut MessageAssembler,
        chunk: Chunk<'_>,
    ) -> Option<Message<'static>> {
        let assembled = assembler.add(chunk);
        self.account.set_assembled(assembler.memory());
        assembled.unwrap_or_else(|_| {
            // It cannot fail, because this code and this reason are valid.
            let _ = self.connection.fail(CloseCode::MESSAGE_TOO_BIG, "no memory for the message");
            None
        })
    }
}
