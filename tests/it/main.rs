//! Tests of the whole system, in one binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod caching;
mod compile_fail;
mod driver;
mod drops;
mod errors;
mod examples;
mod extremes;
mod global_stores;
mod nulls;
mod optimizer;
mod restarts;
mod runtime;
mod support;
mod tidy;
mod topic_serdes;
mod topologies;
mod versions;
