//! Whole-system tests.
mod compile_fail;
