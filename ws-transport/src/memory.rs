//! The memory of all connections of a server, and the rule for a server that exceeds its limit.

use std::{
    cell::Cell,
    cmp::Reverse,
    collections::BTreeMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::Wake,
};

use ws_core::{MemoryBudget, MemoryShare};

/// A connection or response that can be ended to free its memory.
pub trait Evict: Send + Sync {
    /// Ends it at once. The caller holds no lock.
    fn evict(self: Arc<Self>);
}

thread_local! {
    /// `true` while this thread ends connections.
    static IS_RELIEVING: Cell<bool> = const { Cell::new(false) };
}

/// Resets the flag of the thread, also after a panic.
struct Relieving;

impl Drop for Relieving {
    fn drop(&mut self) {
        IS_RELIEVING.set(false);
    }
}

/// The memory budget of a server, and the connections and responses that use it.
///
/// While the budget is exceeded, the largest are ended, and among equals the oldest: a client that makes progress is
/// soon done, and one that does not is old.
#[derive(Debug, Default)]
pub struct ServerMemory {
    budget: Arc<MemoryBudget>,
    /// Connections with a share. A connection without one is not here, so it costs nothing.
    holders: Mutex<Holders>,
    /// Held by the thread that ends connections.
    relieving: Mutex<()>,
    evicted: AtomicU64,
}

#[derive(Debug, Default)]
struct Holders {
    next: u64,
    by_age: BTreeMap<u64, Weak<Holder>>,
}

/// A connection or response with a share of the budget.
#[derive(Debug)]
pub struct Holder {
    share: MemoryShare,
    memory: Arc<ServerMemory>,
    age: u64,
    is_evicted: AtomicBool,
    owner: Weak<dyn Evict>,
}

impl ServerMemory {
    /// Returns the budget.
    #[must_use]
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// Returns the number of connections and responses that were ended to free memory.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    /// Counts the memory of a response of this number of bytes until the result is dropped. If the budget is exceeded,
    /// this ends connections and responses. A small response does not count.
    #[must_use]
    pub fn charge_response(self: &Arc<Self>, bytes: usize, owner: Weak<dyn Evict>) -> Option<Arc<Holder>> {
        if bytes < MemoryBudget::STEP {
            return None;
        }
        let holder = self.open(owner);
        holder.share.set(bytes);
        self.relieve();
        Some(holder)
    }

    /// Creates an empty share.
    pub(crate) fn open(self: &Arc<Self>, owner: Weak<dyn Evict>) -> Arc<Holder> {
        let mut holders = self.holders();
        let age = holders.next;
        holders.next += 1;
        let holder = Arc::new(Holder {
            share: MemoryShare::new(self.budget.clone()),
            memory: self.clone(),
            age,
            is_evicted: AtomicBool::new(false),
            owner,
        });
        holders.by_age.insert(age, Arc::downgrade(&holder));
        holder
    }

    /// Ends connections and responses until the others fit into the budget. Call it without holding a lock. Threads that
    /// call it at the same time wait for each other, so that their connections grow no further meanwhile.
    pub fn relieve(&self) {
        if IS_RELIEVING.replace(true) {
            // The end of a connection has led here. The loop below continues.
            return;
        }
        let _ended = Relieving;
        let _alone = self.relieving.lock().unwrap_or_else(PoisonError::into_inner);
        while self.budget.excess() > 0 {
            let victims = self.victims();
            if victims.is_empty() {
                return;
            }
            for victim in victims {
                self.evicted.fetch_add(1, Relaxed);
                victim.evict();
            }
        }
    }

    /// Chooses those to end. The memory of those that were chosen before is about to be free.
    fn victims(&self) -> Vec<Arc<dyn Evict>> {
        // The last reference of a holder must not be dropped under this lock, which its destructor takes.
        let mut holders: Vec<_> = self.holders().by_age.values().filter_map(Weak::upgrade).collect();
        let mut excess = self.budget.excess();
        holders.retain(|holder| {
            let is_evicted = holder.is_evicted.load(Relaxed);
            if is_evicted {
                excess = excess.saturating_sub(holder.share.bytes());
            }
            !is_evicted && holder.share.bytes() > 0
        });
        holders.sort_by_cached_key(|holder| (Reverse(holder.share.bytes()), holder.age));
        let mut victims = Vec::new();
        for holder in holders {
            if excess == 0 {
                break;
            }
            let bytes = holder.share.bytes();
            if let Some(owner) = holder.owner.upgrade() {
                holder.is_evicted.store(true, Relaxed);
                victims.push(owner);
            }
            excess = excess.saturating_sub(bytes);
        }
        victims
    }

    fn holders(&self) -> MutexGuard<'_, Holders> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends connections, as the last step of a task that held a lock.
impl Wake for ServerMemory {
    fn wake(self: Arc<Self>) {
        self.relieve();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.memory.holders().by_age.remove(&self.age);
    }
}

/// The account of a connection: its memory apart from the connection itself, and its share of the budget. A client has
/// no budget.
#[derive(Debug, Default)]
pub(crate) struct Account {
    budget: Option<(Arc<ServerMemory>, Weak<dyn Evict>)>,
    /// Created when the connection first needs a step of memory, dropped when it is idle.
    holder: Option<Arc<Holder>>,
    /// Size in bytes of a message that is assembled from chunks.
    assembled: u32,
    /// Upper bound of the unwritten bytes that other connections share.
    shared: u32,
    /// Size in bytes of the input buffers of the adapter.
    input: u32,
    /// `true` if there is a share, or memory outside of the connection.
    is_active: bool,
    /// `true` if the share has grown while the budget is exceeded.
    pub(crate) has_excess: bool,
}

impl Account {
    pub(crate) fn join(&mut self, memory: Arc<ServerMemory>, owner: Weak<dyn Evict>) {
        self.budget = Some((memory, owner));
    }

    /// Records that a broadcast message of this length was queued behind `buffered` bytes. Its memory is shared.
    #[inline]
    pub(crate) fn share(&mut self, buffered: usize, len: usize) {
        self.shared = self.shared.min(clamp(buffered)).saturating_add(clamp(len));
    }

    /// Returns the number of unwritten bytes that no other connection shares.
    pub(crate) fn unshared(&self, buffered: usize) -> usize {
        buffered.saturating_sub(self.shared as usize)
    }

    /// Returns `true` if the connection has a share, which may have to shrink.
    #[inline]
    pub(crate) const fn is_open(&self) -> bool {
        self.holder.is_some()
    }

    /// Returns `true` if the share may have to change although the connection holds no input.
    #[inline]
    pub(crate) const fn is_active(&self) -> bool {
        self.is_active
    }

    /// Sets the size in bytes of the input buffers of the adapter.
    pub(crate) fn set_input(&mut self, bytes: usize) {
        self.input = clamp(bytes);
        self.note_activity();
    }

    /// Sets the size in bytes of the message that is assembled from chunks.
    pub(crate) fn set_assembled(&mut self, bytes: usize) {
        self.assembled = clamp(bytes);
        self.note_activity();
    }

    /// Returns the size in bytes of the memory outside of the connection.
    pub(crate) const fn outside(&self) -> usize {
        self.assembled.saturating_add(self.input) as usize
    }

    const fn note_activity(&mut self) {
        self.is_active = self.holder.is_some() || self.outside() > 0;
    }

    pub(crate) fn set(&mut self, bytes: usize) {
        let Some((memory, owner)) = &self.budget else { return };
        let holder = self.holder.get_or_insert_with(|| memory.open(owner.clone()));
        self.has_excess |= holder.share.set(bytes) && memory.budget.excess() > 0;
        self.note_activity();
    }

    /// Drops an empty share, because the connection is idle.
    #[inline]
    pub(crate) fn close_if_empty(&mut self) {
        if self.is_open() {
            self.holder.take_if(|holder| holder.share.bytes() == 0 && !holder.is_evicted.load(Relaxed));
            self.note_activity();
        }
    }

    pub(crate) fn take_excess(&mut self) -> Option<Arc<ServerMemory>> {
        let had_excess = mem::take(&mut self.has_excess);
        self.budget.as_ref().filter(|_| had_excess).map(|(memory, _)| memory.clone())
    }
}

/// Numbers of bytes have 32 bits in an account, which keeps it small.
#[inline]
fn clamp(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that keeps a part of its memory after its end.
    #[derive(Debug, Default)]
    struct Owner {
        holder: Mutex<Option<Arc<Holder>>>,
        is_ended: AtomicBool,
        rest: usize,
    }

    impl Evict for Owner {
        fn evict(self: Arc<Self>) {
            assert!(!self.is_ended.swap(true, Relaxed), "once");
            self.holder.lock().unwrap().as_ref().unwrap().share.set(self.rest);
        }
    }

    const STEP: usize = MemoryBudget::STEP;

    fn memory(limit: usize) -> Arc<ServerMemory> {
        let memory = Arc::new(ServerMemory::default());
        memory.budget.set_limit(limit);
        memory
    }

    /// Creates an owner with this number of steps.
    fn owner(memory: &Arc<ServerMemory>, steps: usize, rest: usize) -> Arc<Owner> {
        let owner = Arc::new(Owner { rest: rest * STEP, ..Owner::default() });
        let weak: Weak<dyn Evict> = Arc::<Owner>::downgrade(&owner);
        let holder = memory.open(weak);
        holder.share.set(steps * STEP);
        *owner.holder.lock().unwrap() = Some(holder);
        owner
    }

    fn ended(owners: &[Arc<Owner>]) -> Vec<bool> {
        owners.iter().map(|owner| owner.is_ended.load(Relaxed)).collect()
    }

    #[test]
    fn the_largest_is_ended_and_of_equals_the_oldest() {
        let memory = memory(10 * STEP);
        let owners = [3, 4, 4, 2].map(|steps| owner(&memory, steps, 0));
        memory.relieve();
        assert_eq!(ended(&owners), [false, true, false, false]);
        assert_eq!((memory.budget.used(), memory.evicted()), (9 * STEP, 1));
        memory.relieve();
        assert_eq!(memory.evicted(), 1, "the others fit");
    }

    #[test]
    fn memory_that_is_about_to_be_free_costs_no_other_connection() {
        let memory = memory(10 * STEP);
        let owners = [(9, 5), (4, 0), (2, 0)].map(|(steps, rest)| owner(&memory, steps, rest));
        memory.relieve();
        assert_eq!(ended(&owners), [true, false, false]);
        assert_eq!(memory.budget.used(), 11 * STEP);
        drop(owners);
        assert_eq!(memory.budget.used(), 0);
        assert!(memory.holders().by_age.is_empty());
    }

    #[test]
    fn an_idle_connection_pays_48_bytes() {
        assert!(size_of::<Account>() <= 48, "{}", size_of::<Account>());
    }

    #[test]
    fn less_than_one_step_does_not_count() {
        let memory = memory(0);
        let small = owner(&memory, 0, 0);
        small.holder.lock().unwrap().as_ref().unwrap().share.set(STEP - 1);
        memory.relieve();
        assert_eq!((ended(&[small]), memory.budget.used()), (vec![false], 0));
    }
}
