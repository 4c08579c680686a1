//! Operators whose functions may fail: `try_filter` is `filter` with a function that returns a `Result`, as in the standard
//! library. In Kafka any function may throw; here types say which may.
//!
//! Each is the same operator as the one without `try_`, and a wrapper of the same method: that a function cannot fail is lost in
//! compilation. The joins, whose forms are many, have one of the form that is given the most.

mod aggregates;
mod joins;
mod stateless;
mod tables;

use streams_core::processor::BoxError;

use crate::operators::Tried;

/// The user's error, in a box.
fn tried<T, E: Into<BoxError>>(result: Result<T, E>) -> Tried<T> {
    result.map_err(Into::into)
}
