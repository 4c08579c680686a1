//! Stores on the test driver: an aggregate, and a user's processor that writes a row and reads it again; beside them a
//! topology without a store, which is what the driver itself costs a record.

mod common;
#[path = "common/driver.rs"]
mod driver;

use driver::{Case, OUTPUT};
use streams_dsl::prelude::*;
use streams_dsl::processor::{BoxError, Processor, ProcessorContext};
use streams_dsl::store::{KeyValueStore, KeyValueStoreBuilder, WindowStore, WindowStoreBuilder};

const WINDOW_MS: i64 = 10_000;
const RETENTION_MS: i64 = 60_000;

fn main() {
    let case = |name, declare| Case {
        name,
        declare,
        filled: &[],
        inputs: &["in"],
    };
    driver::run(
        "stores",
        &[
            case("no store", no_store),
            case("count by key", count),
            case("key-value store, put and get", key_value),
            case("window store, put and fetch", window),
        ],
    );
}

fn no_store(builder: &StreamsBuilder) {
    builder.stream::<i64, String>("in").to(OUTPUT);
}

fn count(builder: &StreamsBuilder) {
    let input = builder.stream::<i64, String>("in").group_by_key();
    let counts = input.count(Materialized::named("store"));
    counts.to_stream().to(OUTPUT);
}

fn key_value(builder: &StreamsBuilder) {
    builder.add_state_store("store", KeyValueStoreBuilder::<i64, String>::new("store"));
    let input = builder.stream::<i64, String>("in");
    let read = input.process(&["store"], |init| Ok(PutAndGet(init.key_value_store("store")?)));
    read.to(OUTPUT);
}

fn window(builder: &StreamsBuilder) {
    let store = WindowStoreBuilder::<i64, String>::new("store", RETENTION_MS);
    builder.add_state_store("store", store);
    let input = builder.stream::<i64, String>("in");
    let read = input.process(&["store"], |init| Ok(PutAndFetch(init.window_store("store")?)));
    read.to(OUTPUT);
}

struct PutAndGet(KeyValueStore<i64, String>);

impl Processor<i64, String, i64, String> for PutAndGet {
    fn process(
        &mut self,
        mut record: Record<i64, String>,
        context: &mut ProcessorContext<'_, '_, i64, String>,
    ) -> Result<(), BoxError> {
        let value = std::mem::take(&mut record.value);
        self.0.put(&record.key, Some(value), record.timestamp_ms)?;
        let row = self.0.get(&record.key)?.ok_or("a row that was put is there")?;
        context.forward(record.with_value(row.value))
    }
}

struct PutAndFetch(WindowStore<i64, String>);

impl Processor<i64, String, i64, String> for PutAndFetch {
    fn process(
        &mut self,
        mut record: Record<i64, String>,
        context: &mut ProcessorContext<'_, '_, i64, String>,
    ) -> Result<(), BoxError> {
        let start_ms = record.timestamp_ms - record.timestamp_ms % WINDOW_MS;
        let value = std::mem::take(&mut record.value);
        self.0
            .put(&record.key, start_ms, Some(value), record.timestamp_ms)?;
        let row = self.0.fetch(&record.key, start_ms)?;
        let row = row.ok_or("a row that was put is there")?;
        context.forward(record.with_value(row.value))
    }
}
