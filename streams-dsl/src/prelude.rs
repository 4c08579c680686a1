//! The names an application imports.

pub use crate::{
    Consumed, Grouped, Joined, KStream, KTable, Materialized, Produced, Repartitioned, StreamsBuilder,
    TimeWindows, Windowed,
};
pub use streams_core::Record;
pub use streams_core::runtime::{Streams, StreamsConfig};
pub use streams_core::serde::{DefaultSerde, Json, Serde};
pub use streams_core::testing::TopologyTestDriver;
