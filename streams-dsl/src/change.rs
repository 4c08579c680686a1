//! What flows between the operators of a table: the new value of a key, and the old one where somebody needs it.

/// One update of a table's row.
///
/// `None` is no value: a `new` of `None` deletes the row. `old` is `None` too where nobody downstream asked for old values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change<V> {
    /// The value from now on.
    pub(crate) new: Option<V>,
    /// The value until now, if it is sent.
    pub(crate) old: Option<V>,
    /// No newer value of the key is known: only versioned tables know better.
    pub(crate) is_latest: bool,
}
