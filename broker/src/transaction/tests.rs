//! Scripts of requests against the transaction coordinator, one per rule, with everything it asked for in between.

mod epochs;
mod failures;
mod script;
mod steps;
