use alloc::{sync::Arc, vec::Vec};
use core::{
    any::{Any, TypeId},
    fmt,
};

/// Values of the application, at most one of each type. There are few, so that a search is faster than a map.
#[derive(Clone, Default)]
pub(super) struct Values(Vec<(TypeId, Arc<dyn Any + Send + Sync>)>);

impl Values {
    /// Adds a value, in place of one of the same type.
    pub(super) fn insert<T: Any + Send + Sync>(&mut self, value: T) {
        let id = TypeId::of::<T>();
        self.0.retain(|(existing, _)| *existing != id);
        self.0.push((id, Arc::new(value)));
    }

    /// Adds all values of `other`, in place of those of the same types.
    pub(super) fn extend(&mut self, other: Self) {
        self.0.retain(|(id, _)| other.0.iter().all(|(new, _)| new != id));
        self.0.extend(other.0);
    }

    pub(super) fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        let (_, value) = self.0.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        value.downcast_ref()
    }
}

/// Clones are equal, because they share their values. Whether two other values are equal is not known here.
impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |((_, a), (_, b)): (&(_, Arc<dyn Any + Send + Sync>), &(_, Arc<_>))| Arc::ptr_eq(a, b);
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(is_same)
    }
}

impl Eq for Values {}

/// The number alone: values may be secret.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values", self.0.len())
    }
}
