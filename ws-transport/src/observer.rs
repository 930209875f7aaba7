use std::fmt;

use ws_core::Event;

/// The application's observer of control frames, for an adapter's receiving half. Default: none.
#[derive(Default)]
pub struct ControlObserver(Option<Box<Observer>>);

type Observer = dyn FnMut(&Event<'_>) + Send + Sync;

impl ControlObserver {
    /// Sets the observer.
    pub fn set(&mut self, observer: impl FnMut(&Event<'_>) + Send + Sync + 'static) {
        self.0 = Some(Box::new(observer));
    }

    /// Returns `true` if there is an observer.
    #[must_use]
    #[inline]
    pub const fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Calls the observer. Call it without holding a lock, because the observer may use the connection.
    pub fn observe(&mut self, event: &Event<'_>) {
        if let Some(observer) = &mut self.0 {
            observer(event);
        }
    }
}

impl fmt::Debug for ControlObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ControlObserver({})", if self.is_set() { "set" } else { "none" })
    }
}

/// A result of receiving with an observer.
#[derive(Debug)]
pub enum Observed<T> {
    /// Data for the caller.
    Taken(T),
    /// A ping, a pong or a Close for the observer.
    Control(Event<'static>),
}
