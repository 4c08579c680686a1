//! Identifiers that must not repeat: member ids, topic ids. Handed in, so that a seeded test gets the same ones again.

use uuid::Uuid;

/// A source of unique identifiers.
pub trait Ids: Send + std::fmt::Debug {
    /// One that was never returned before, by this source or any other.
    fn next_id(&mut self) -> Uuid;
}

/// Random identifiers (version 4) from the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn next_id(&mut self) -> Uuid {
        Uuid::new_v4()
    }
}

/// Identifiers that count upwards: for tests and simulations, where two runs must be equal.
#[derive(Debug, Default, Clone, Copy)]
pub struct CountingIds {
    last: u128,
}

impl CountingIds {
    /// Starts above `start`, so that a second run over the same data does not repeat the first one's.
    pub fn above(start: u128) -> Self {
        Self { last: start }
    }
}

impl Ids for CountingIds {
    fn next_id(&mut self) -> Uuid {
        self.last += 1;
        Uuid::from_u128(self.last)
    }
}

/// One source for several users of it.
#[derive(Debug, Clone)]
pub(crate) struct SharedIds(std::sync::Arc<std::sync::Mutex<dyn Ids>>);

impl SharedIds {
    pub(crate) fn new(ids: impl Ids + 'static) -> Self {
        Self(std::sync::Arc::new(std::sync::Mutex::new(ids)))
    }

    /// The same source as the topics take it.
    pub(crate) fn source(&self) -> Box<dyn FnMut() -> Uuid + Send> {
        let mut ids = self.clone();
        Box::new(move || ids.next_id())
    }
}

impl Ids for SharedIds {
    fn next_id(&mut self) -> Uuid {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .next_id()
    }
}
