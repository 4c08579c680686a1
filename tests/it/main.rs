//! Tests of the whole system, in one binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod caching;
mod compile_fail;
mod driver;
mod errors;
mod examples;
mod global_stores;
mod operators;
mod restarts;
mod runtime;
mod support;
mod tidy;
mod topologies;
