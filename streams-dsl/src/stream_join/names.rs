//! What the processors and stores of a join of streams are called.

use super::JoinKind;
use crate::names::prefix;
use crate::options::SideStore;
use crate::plan::Plan;

/// The names of all that a join is made of.
pub(super) struct JoinNames {
    pub(super) this_windowed: String,
    pub(super) other_windowed: String,
    pub(super) join_this: String,
    pub(super) join_other: String,
    pub(super) merge: String,
    pub(super) this_store: String,
    pub(super) other_store: String,
    pub(super) waiting_store: Option<String>,
}

impl JoinNames {
    pub(super) fn new(plan: &mut Plan, kind: JoinKind, name: Option<&str>, store_name: Option<&str>) -> Self {
        let (this_suffix, this_prefix) = match kind {
            JoinKind::Outer => ("-outer-this-join", prefix::OUTER_THIS),
            _ => ("-this-join", prefix::JOIN_THIS),
        };
        let (other_suffix, other_prefix) = match kind {
            JoinKind::Inner => ("-other-join", prefix::JOIN_OTHER),
            _ => ("-outer-other-join", prefix::OUTER_OTHER),
        };
        let given = |base: Option<&str>, suffix: &str| base.map(|base| format!("{base}{suffix}"));
        let names = &mut plan.names;
        let this_windowed = names.processor_or(given(name, "-this-windowed").as_deref(), prefix::WINDOWED);
        let other_windowed = names.processor_or(given(name, "-other-windowed").as_deref(), prefix::WINDOWED);
        let (this, other) = (names.processor(this_prefix), names.processor(other_prefix));
        let merge = names.processor_or(given(name, "-merge").as_deref(), prefix::MERGE);
        let waiting = match (kind, store_name) {
            (JoinKind::Inner, _) => None,
            (JoinKind::Left, Some(store)) => Some(format!("{store}-left-shared-join-store")),
            (JoinKind::Outer, Some(store)) => Some(format!("{store}-outer-shared-join-store")),
            (_, None) => {
                let generated = format!("{}{}", prefix::OUTER_SHARED, &this[this_prefix.len()..]);
                names.made(&generated);
                Some(format!("{generated}-store"))
            }
        };
        let store = |suffix: &str, generated: &str| {
            let base = given(store_name, suffix);
            format!("{}-store", base.as_deref().unwrap_or(generated))
        };
        Self {
            this_store: store(this_suffix, &this),
            other_store: store(other_suffix, &other),
            waiting_store: waiting,
            join_this: given(name, this_suffix).unwrap_or(this),
            join_other: given(name, other_suffix).unwrap_or(other),
            this_windowed,
            other_windowed,
            merge,
        }
    }

    /// Takes the names of stores that were given whole.
    pub(super) fn stores_given(&mut self, plan: &mut Plan, this: &SideStore, other: &SideStore) {
        for (store, given) in [(&mut self.this_store, this), (&mut self.other_store, other)] {
            if let Some(name) = &given.name {
                store.clone_from(name);
            }
        }
        if self.this_store == self.other_store {
            plan.problems.push(format!(
                "{}: both sides of a join are to be kept in the store {}: give them two names",
                self.merge, self.this_store
            ));
        }
    }
}
