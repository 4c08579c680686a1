//! Tests of the whole system, in one binary.

mod compile_fail;
mod examples;
mod runtime;
mod tidy;
