//! The typed Kafka Streams DSL of Headwater: the crate an application depends on.
//!
//! ```text
//! StreamsBuilder --declares--> plan (data) --build()--> Topology --Streams::start / TopologyTestDriver--> live tasks
//! ```
//!
//! Streams and tables are typed handles; a missing serde, a wrong key type or a join of unlike keys does not compile. Read
//! [`KStream`] and [`KTable`] first, then [`prelude`].
//!
//! ```
//! use streams_dsl::prelude::*;
//!
//! let builder = StreamsBuilder::new();
//! builder
//!     .stream::<Option<String>, String>("lines")
//!     .flat_map_values(|line| line.split(' ').map(str::to_lowercase).collect::<Vec<_>>())
//!     .group_by(|_, word| word.clone())
//!     .count(Materialized::named("counts"))
//!     .to_stream()
//!     .to("word-counts");
//!
//! let driver = TopologyTestDriver::new(&builder.build()?)?;
//! driver.input::<Option<String>, String>("lines").pipe(None, "to be or not to be".into())?;
//! let counts = driver.key_value_store::<String, i64>("counts")?;
//! assert_eq!(counts.get(&"to".into()).unwrap().unwrap().value, 2);
//! # Ok::<(), StreamsError>(())
//! ```
//!
//! | operator | changes the key | needs the key's partition, so repartitions if the key changed |
//! |---|---|---|
//! | `filter`, `filter_not`, `peek`, `map_values`, `flat_map_values`, `split`, `merge` | | |
//! | `map`, `flat_map`, `select_key`, `process` | yes | |
//! | `group_by` | yes | the aggregation after it |
//! | `group_by_key` | | the aggregation after it |
//! | `join`, `left_join` with a table | | yes |
//! | `to_table` | | yes |
//! | `repartition` | | always |

mod branched;
mod builder;
mod grouped;
mod names;
mod operators;
mod options;
mod plan;
pub mod prelude;
mod stream;
mod table;
mod windowed;
mod windows;

pub use streams_core as core;

pub use prelude::*;

/// The README's program, compiled and run.
#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
pub struct ReadmeDoctests;
