//! Tests of the whole system, in one binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod compile_fail;
mod examples;
mod restarts;
mod runtime;
mod tidy;
