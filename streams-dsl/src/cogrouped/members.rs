//! The streams of a [`CogroupedKStream`](super::CogroupedKStream), whatever their values, and how those are added.

use std::sync::Arc;

use streams_core::processor::BoxError;
use streams_core::serde::Serde;

use crate::grouped::LiveAggregate;
use crate::lower::Lower;
use crate::operators::aggregate::{Aggregator, Steps, TryAggregator};
use crate::operators::session_aggregate::{SessionAggregator, SessionStep, TrySessionAggregator};
use crate::plan::{Plan, PlanId};
use crate::session::LiveSessions;
use crate::windowed::LiveWindows;
use crate::windows::{FixedWindows, SessionWindows};
use crate::{Data, KGroupedStream};

type Initial<A> = Arc<dyn Fn() -> A + Send + Sync>;
pub(super) type Merge<K, A> = Arc<dyn Fn(&K, A, A) -> A + Send + Sync>;

/// One of the streams.
pub(super) trait Member<K, A> {
    fn partitioned(&self, plan: &mut Plan, store: &str) -> PlanId;
    fn plain(&self, aggregation: &Aggregation<A>) -> Lower;
    fn windowed(&self, windows: FixedWindows, aggregation: &Aggregation<A>) -> Lower;
    fn sessions(&self, windows: SessionWindows, merge: Merge<K, A>, aggregation: &Aggregation<A>) -> Lower;
}

/// What the streams have in common.
pub(super) struct Aggregation<A> {
    pub(super) initial: Initial<A>,
    pub(super) result_serde: Arc<dyn Serde<A>>,
    pub(super) store: String,
    /// Updates wait for the next commit.
    pub(super) caching: Option<bool>,
    pub(super) is_versioned: bool,
}

/// Adds a value to the aggregate of its key, and gives `R`.
type AddTo<K, V, A, R> = Arc<dyn Fn(&K, V, A) -> R + Send + Sync>;

/// How a value is added to the aggregate of its key.
enum Add<K, V, A> {
    /// By a function that cannot fail.
    Sure(AddTo<K, V, A, A>),
    /// By a function that may fail.
    Unsure(AddTo<K, V, A, Result<A, BoxError>>),
}

impl<K: Data, V: Data, A: Data> Add<K, V, A> {
    fn step(&self, initial: &Initial<A>) -> Steps<K, V, A> {
        let initial = Arc::clone(initial);
        match self {
            Self::Sure(add) => {
                let add = Arc::clone(add);
                Steps::InPlace(Arc::new(Aggregator {
                    initial: move || initial(),
                    add: move |key: &K, value: V, aggregate: A| add(key, value, aggregate),
                }))
            }
            Self::Unsure(add) => {
                let add = Arc::clone(add);
                Steps::Fallible(Arc::new(TryAggregator {
                    initial: move || Ok(initial()),
                    add: move |key: &K, value: V, aggregate: A| add(key, value, aggregate),
                }))
            }
        }
    }

    fn session_step(&self, initial: &Initial<A>, merge: Merge<K, A>) -> Arc<dyn SessionStep<K, V, A>> {
        let initial = Arc::clone(initial);
        match self {
            Self::Sure(add) => {
                let add = Arc::clone(add);
                Arc::new(SessionAggregator {
                    initial: move || initial(),
                    add: move |key: &K, value: V, aggregate: A| add(key, value, aggregate),
                    merge: move |key: &K, one: A, other: A| merge(key, one, other),
                })
            }
            Self::Unsure(add) => {
                let add = Arc::clone(add);
                Arc::new(TrySessionAggregator {
                    initial: move || Ok(initial()),
                    add: move |key: &K, value: V, aggregate: A| add(key, value, aggregate),
                    merge: move |key: &K, one: A, other: A| Ok(merge(key, one, other)),
                })
            }
        }
    }
}

pub(super) struct Grouped<K, V, A> {
    grouped: KGroupedStream<K, V>,
    add: Add<K, V, A>,
}

impl<K: Data, V: Data, A: Data> Grouped<K, V, A> {
    /// A stream whose values are added by this function.
    pub(super) fn sure(
        grouped: &KGroupedStream<K, V>,
        add: impl Fn(&K, V, A) -> A + Send + Sync + 'static,
    ) -> Self {
        Self {
            grouped: grouped.clone(),
            add: Add::Sure(Arc::new(add)),
        }
    }

    /// A stream whose values are added by this function, which may fail.
    pub(super) fn unsure<E: Into<BoxError> + 'static>(
        grouped: &KGroupedStream<K, V>,
        add: impl Fn(&K, V, A) -> Result<A, E> + Send + Sync + 'static,
    ) -> Self {
        Self {
            grouped: grouped.clone(),
            add: Add::Unsure(Arc::new(move |key: &K, value: V, aggregate: A| {
                add(key, value, aggregate).map_err(Into::into)
            })),
        }
    }
}

impl<K: Data, V: Data, A: Data> Member<K, A> for Grouped<K, V, A> {
    fn partitioned(&self, plan: &mut Plan, store: &str) -> PlanId {
        self.grouped.partitioned(plan, store)
    }

    fn plain(&self, aggregation: &Aggregation<A>) -> Lower {
        LiveAggregate {
            step: self.add.step(&aggregation.initial),
            serdes: self.grouped.serdes.clone(),
            result_serde: Arc::clone(&aggregation.result_serde),
            store: aggregation.store.clone(),
        }
        .lower(None)
    }

    fn windowed(&self, windows: FixedWindows, aggregation: &Aggregation<A>) -> Lower {
        LiveWindows {
            windows,
            emit_final: false,
            step: self.add.step(&aggregation.initial),
            serdes: self.grouped.serdes.clone(),
            result_serde: Arc::clone(&aggregation.result_serde),
            store: aggregation.store.clone(),
        }
        .lower(None)
    }

    fn sessions(&self, windows: SessionWindows, merge: Merge<K, A>, aggregation: &Aggregation<A>) -> Lower {
        LiveSessions {
            windows,
            emit_final: false,
            step: self.add.session_step(&aggregation.initial, merge),
            serdes: self.grouped.serdes.clone(),
            result_serde: Arc::clone(&aggregation.result_serde),
            store: aggregation.store.clone(),
        }
        .lower(None)
    }
}
