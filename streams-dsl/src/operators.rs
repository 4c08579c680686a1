//! The live side of the DSL: one small struct an operator, with its `process`.
//!
//! Each file also has the function that declares the operator in the plan, so that what it is called, what it needs and
//! what it does stand together. Operators to come have their places here: stream-stream and foreign-key joins, cogroup,
//! suppress, sliding and session windows.

pub(crate) mod aggregate;
pub(crate) mod branch;
pub(crate) mod repartition;
pub(crate) mod stateless;
pub(crate) mod stream_table_join;
pub(crate) mod table_map;
pub(crate) mod table_source;
pub(crate) mod window_aggregate;
