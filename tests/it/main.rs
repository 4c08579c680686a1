//! Tests of the whole system, in one binary.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod avro;
mod caching;
mod compile_fail;
mod connected_stores;
mod custom_stores;
mod driver;
mod drops;
mod errors;
mod examples;
mod explicit_names;
mod extremes;
mod fallible;
mod fallible_operators;
mod global_stores;
mod handles;
mod header_serdes;
mod idle;
mod joins;
mod listeners;
mod metrics;
mod nulls;
mod offset_reset;
mod operators;
mod optimizer;
mod patterns;
mod restarts;
mod runtime;
mod support;
mod tidy;
mod timestamps;
mod topic_serdes;
mod topologies;
mod versions;
