//! A subscriber that records all events with the fields of their spans.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_core::span::Current;

/// The fields of an event or of a span as texts.
pub(crate) type Fields = BTreeMap<String, String>;

/// A recorded event.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) fields: Fields,
    /// The fields of the span. Empty without a span.
    pub(crate) span: Fields,
}

impl Recorded {
    pub(crate) fn text(&self) -> &str {
        self.fields.get("message").map_or("", String::as_str)
    }
}

#[derive(Default)]
struct Log {
    spans: HashMap<u64, (&'static Metadata<'static>, Fields)>,
    events: Vec<Recorded>,
}

/// The recorder of this process.
#[derive(Default)]
pub(crate) struct Recorder {
    log: Mutex<Log>,
    next: AtomicU64,
}

thread_local! {
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Starts to record, and returns the recorder.
pub(crate) fn recorder() -> &'static Recorder {
    static RECORDER: OnceLock<&'static Recorder> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let recorder: &'static Recorder = Box::leak(Box::default());
        tracing::subscriber::set_global_default(Handle(recorder)).expect("the only subscriber");
        recorder
    })
}

impl Recorder {
    /// Returns all events so far.
    pub(crate) fn all(&self) -> Vec<Recorded> {
        self.log().events.clone()
    }

    /// Returns the events of connections with this path and role.
    pub(crate) fn of(&self, role: &str, path: &str) -> Vec<Recorded> {
        let has =
            |event: &Recorded, name: &str, value: &str| event.span.get(name).is_some_and(|it| it == value);
        let all = self.all().into_iter();
        all.filter(|event| has(event, "role", role) && has(event, "path", path)).collect()
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Handle(&'static Recorder);

impl Subscriber for Handle {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("websocket") || metadata.target() == "application"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut fields = Fields::new();
        span.record(&mut Texts(&mut fields));
        self.0.log().spans.insert(id, (span.metadata(), fields));
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        if let Some((_, fields)) = self.0.log().spans.get_mut(&span.into_u64()) {
            values.record(&mut Texts(fields));
        }
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::new();
        event.record(&mut Texts(&mut fields));
        let current = ENTERED.with_borrow(|entered| entered.last().copied());
        let span = event.parent().map(Id::into_u64).or_else(|| current.filter(|_| event.is_contextual()));
        let mut log = self.0.log();
        let span = span.and_then(|id| Some(log.spans.get(&id)?.1.clone())).unwrap_or_default();
        let metadata = event.metadata();
        log.events.push(Recorded {
            level: *metadata.level(),
            target: metadata.target().to_owned(),
            fields,
            span,
        });
    }

    fn enter(&self, span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(span.into_u64()));
    }

    fn exit(&self, _span: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.pop());
    }

    fn current_span(&self) -> Current {
        let Some(id) = ENTERED.with_borrow(|entered| entered.last().copied()) else {
            return Current::none();
        };
        let metadata = self.0.log().spans[&id].0;
        Current::new(Id::from_u64(id), metadata)
    }
}

struct Texts<'f>(&'f mut Fields);

impl Visit for Texts<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}
