//! What an application imports: `use streams_dsl::prelude::*`.

pub use streams_core::error::{LogError, StreamsError};
pub use streams_core::handlers::{ErrorHandlers, ErrorResponse, LogAndContinue, LogAndFail};
pub use streams_core::metrics::DropReason;
pub use streams_core::runtime::{ProcessingGuarantee, RestoreListener, State, Streams, StreamsConfig};
pub use streams_core::serde::{DefaultSerde, Json, JsonSerde, Serde};
pub use streams_core::store::StoreKind;
pub use streams_core::testing::{TestDriverOptions, TopologyTestDriver};
pub use streams_core::topology::{AutoOffsetReset, TopicPattern, Topology};
pub use streams_core::{Record, json_serde};

pub use crate::{
    BranchedKStream, BufferConfig, CogroupedKStream, Consumed, GlobalKTable, Grouped, JoinWindows, Joined,
    KGroupedStream, KGroupedTable, KStream, KTable, Materialized, Optimization, Printed, Produced,
    Repartitioned, SessionWindowedKStream, SessionWindowedSerde, SessionWindows, SlidingWindows,
    StreamJoined, StreamsBuilder, Suppressed, TableJoined, TimeWindowedKStream, TimeWindowedSerde,
    TimeWindows, UnlimitedWindows, Window, Windowed,
};
