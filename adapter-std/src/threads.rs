//! Starts threads.

use std::{
    io::{self, ErrorKind},
    thread,
};

/// Address space that has to be left after a thread was started, in bytes. A thread needs some beside its stack, and small
/// allocations must not fail, because that would abort the process.
const LEFT: usize = 8 << 20;
/// Size in bytes of the stack of a thread, if the application has not set another one.
const STACK: usize = 2 << 20;

/// Starts a thread.
///
/// # Errors
///
/// Returns an error if the operating system cannot start it, or if too little address space would be left.
pub(crate) fn start(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    if !has_room() {
        return Err(io::Error::new(ErrorKind::OutOfMemory, "too little address space is left (RLIMIT_AS)"));
    }
    thread::Builder::new().name(name.into()).spawn(run).map(drop)
}

/// Returns `true` if there is enough address space for one more thread. Stacks take most of it, so a server whose address
/// space is limited (`ulimit -v`) would start threads until no memory is left.
fn has_room() -> bool {
    #[cfg(not(target_os = "openbsd"))]
    {
        use rustix::process::{Resource, getrlimit};

        if getrlimit(Resource::As).current.is_some() {
            return Vec::<u8>::new().try_reserve_exact(STACK + LEFT).is_ok();
        }
    }
    true
}
