//! The typed Kafka Streams DSL of Headwater: what an application depends on.
//!
//! ```text
//!   KStream, KTable ...  --each method-->  plan (data)  --build()-->  Topology  -->  TopologyTestDriver, or Streams on a log
//!   typed handles                          names, stores, edges       checked
//! ```
//!
//! A word count, and its test:
//!
//! ```
//! use streams_dsl::prelude::*;
//!
//! fn words(line: String) -> Vec<String> {
//!     line.split_whitespace().map(str::to_lowercase).collect()
//! }
//!
//! let builder = StreamsBuilder::new();
//! builder
//!     .stream::<Option<String>, String>("lines")
//!     .flat_map_values(|line| words(line))
//!     .group_by(|_, word| word.clone())
//!     .count(Materialized::named("counts"))
//!     .to_stream()
//!     .to("word-counts");
//! let topology = builder.build()?;
//!
//! let driver = TopologyTestDriver::new(&topology)?;
//! driver.input("lines").pipe(None::<String>, "To be or not to be".to_string())?;
//! let counts = driver.output::<String, i64>("word-counts").read_key_values();
//! assert_eq!(counts[4..], [("to".into(), 2), ("be".into(), 2)]);
//! # Ok::<(), streams_dsl::error::StreamsError>(())
//! ```
//!
//! # Operators
//!
//! | on | operators | what becomes of it | repartitions |
//! |---|---|---|---|
//! | [`StreamsBuilder`] | `stream`, `table`, `global_table` | [`KStream`], [`KTable`], [`GlobalKTable`] | |
//! | [`KStream`] | `filter`, `filter_not`, `map_values`, `flat_map_values`, `peek`, `merge`, `split`, `require_key` | [`KStream`] | |
//! | | `map`, `flat_map`, `select_key`, `process` | [`KStream`] | later, where equal keys are needed together |
//! | | `repartition` | [`KStream`] | always |
//! | | `group_by_key`, `group_by` | [`KGroupedStream`] | when aggregated: if the key may have changed; `group_by` always |
//! | | `join`, `left_join` with a [`KTable`] | [`KStream`] | if the key may have changed |
//! | | `join_global`, `left_join_global` with a [`GlobalKTable`] | [`KStream`] | |
//! | | `join_stream`, `left_join_stream`, `outer_join_stream` with a [`KStream`] | [`KStream`] | either, if its key may have changed |
//! | | `to_table` | [`KTable`] | if the key may have changed |
//! | | `process_values` | [`KStream`] | |
//! | | `to`, `to_dynamic`, `for_each`, `print` | [`Terminal`] | |
//! | [`KGroupedStream`] | `count`, `reduce`, `aggregate` | [`KTable`] | |
//! | | `windowed_by` | [`TimeWindowedKStream`], [`SessionWindowedKStream`] | |
//! | | `cogroup` | [`CogroupedKStream`] | |
//! | [`CogroupedKStream`] | `cogroup`, `windowed_by`, `aggregate` | [`KTable`] | |
//! | [`SessionWindowedKStream`] | `count`, `reduce`, `aggregate` | [`KTable`] of [`Windowed`] keys | |
//! | [`TimeWindowedKStream`] | `count`, `reduce`, `aggregate` | [`KTable`] of [`Windowed`] keys | |
//! | [`KTable`] | `filter`, `filter_not`, `map_values`, `filter_map_values`, `transform_values` | [`KTable`] | |
//! | | `suppress` | [`KTable`] with fewer updates | |
//! | | `join`, `left_join`, `outer_join` with a [`KTable`] | [`KTable`] | |
//! | | `join_foreign_key`, `left_join_foreign_key` with a [`KTable`] | [`KTable`] | both ways, over topics of its own |
//! | | `group_by` | [`KGroupedTable`] | always |
//! | | `to_stream` | [`KStream`] of `Option` values | |
//! | [`KGroupedTable`] | `count`, `reduce`, `aggregate` | [`KTable`] | |
//!
//! Joins of streams also come as `.._with_key`, with a joiner that gets the key.
//!
//! Each operator with a function has a twin whose function may fail: `try_filter`, `try_map_values`, `try_reduce`,
//! `try_join_with_key` and so on, of joins in the form that is given the most. About what it returns as an error the
//! [processing handler](handlers::ErrorHandlers::processing) decides: it stops the application, or drops the record.
//!
//! # Serdes
//!
//! An operator that needs a serde asks for [`DefaultSerde`](serde::DefaultSerde) of its types, so one that is missing does
//! not compile. Its `_with` form takes serdes by way of [`Consumed`], [`Produced`], [`Grouped`], [`Joined`],
//! [`Repartitioned`] or [`Materialized`], and then asks for nothing. Serdes that were given travel with the stream, and come
//! before the types' own.
//!
//! # Nulls
//!
//! Kafka's null keys and values are `Option`s in the types: `stream::<Option<String>, String>` for text without keys,
//! [`KTable::to_stream`] gives `Option<V>` because tables delete. Grouping, joining and repartitioning drop null keys as
//! Kafka does, counted by [reason](metrics::DropReason).
//!
//! # Names
//!
//! Processors, stores and internal topics are named and numbered as Kafka Streams names them, so that an application that
//! moves over finds its state. `.named(..)` after an operator names its processor; the names in options are those of stores
//! and topics. [`Topology::describe`](topology::Topology::describe) gives Kafka's text.
//!
//! # Reading order
//!
//! `builder.rs`, `stream.rs`, `table.rs` (handles), `plan.rs` (what they record), `lower.rs` (what becomes of it),
//! `operators/` (what runs).

mod branch;
mod builder;
mod change;
mod change_serde;
mod cogrouped;
mod explicit_names;
mod fallible;
mod foreign_key_join;
mod foreign_key_serde;
mod global_table;
mod grouped;
mod grouped_table;
mod join_serde;
mod join_windows;
mod join_with_key;
mod lower;
mod names;
mod operators;
mod optimize;
mod options;
mod plan;
pub mod prelude;
mod print;
mod process;
mod repartition;
mod session;
mod stores;
mod stream;
mod stream_join;
mod stream_table_join;
mod suppressed;
mod table;
mod table_join;
mod table_transform;
mod terminal;
mod view;
mod waiting_serde;
mod windowed;
mod windows;

pub use branch::BranchedKStream;
pub use builder::{StreamsBuilder, Topics};
pub use cogrouped::{CogroupedKStream, SessionWindowedCogroupedKStream, TimeWindowedCogroupedKStream};
pub use global_table::GlobalKTable;
pub use grouped::KGroupedStream;
pub use grouped_table::KGroupedTable;
pub use join_windows::JoinWindows;
pub use optimize::Optimization;
pub use options::{
    BufferConfig, Consumed, Grouped, Joined, Materialized, Produced, Repartitioned, StreamJoined,
    StrictBufferConfig, TableJoined,
};
pub use print::Printed;
pub use session::SessionWindowedKStream;
pub use stream::KStream;
pub use streams_core::{
    Header, Headers, Record, RecordMetadata, TaskContext, error, handlers, json_serde, log, metrics,
    processor, runtime, serde, store, testing, time, topology,
};
pub use suppressed::Suppressed;
pub use table::KTable;
pub use terminal::Terminal;
pub use windowed::TimeWindowedKStream;
pub use windows::{
    SessionWindowedSerde, SessionWindows, SlidingWindows, TimeWindowedSerde, TimeWindows, UnlimitedWindows,
    Window, Windowed, Windows,
};

pub(crate) use change::Change;

/// The README's program, compiled and run.
#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
pub struct ReadmeDoctests;

/// What keys and values of streams must be: owned, and cloneable where a stream is used twice. Every such type is.
pub trait Data: Clone + 'static {}

impl<T: Clone + 'static> Data for T {}
