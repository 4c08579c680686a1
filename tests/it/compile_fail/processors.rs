//! What processors cannot do.
use streams_dsl::prelude::*;
use streams_dsl::processor::{
    BoxError, FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord, Processor, ProcessorContext,
};
use streams_dsl::store::GlobalKeyValueStore;

/// Keys stay as they are.
struct ChangesKey;

impl FixedKeyProcessor<String, i64, i64> for ChangesKey {
    fn process(
        &mut self,
        record: FixedKeyRecord<String, i64>,
        context: &mut FixedKeyProcessorContext<'_, '_, '_, String, i64>,
    ) -> Result<(), BoxError> {
        context.forward(record.with_key("other".to_string()))
    }
}

/// What is passed on is of the types that come after.
struct ForwardsText;

impl Processor<String, i64, String, i64> for ForwardsText {
    fn process(
        &mut self,
        record: Record<String, i64>,
        context: &mut ProcessorContext<'_, '_, String, i64>,
    ) -> Result<(), BoxError> {
        context.forward(record.with_value("text".to_string()))
    }
}

/// Global stores are written from their topics only.
struct WritesGlobalStore(GlobalKeyValueStore<String, i64>);

impl Processor<String, i64, String, i64> for WritesGlobalStore {
    fn process(
        &mut self,
        record: Record<String, i64>,
        context: &mut ProcessorContext<'_, '_, String, i64>,
    ) -> Result<(), BoxError> {
        self.0
            .put(&record.key, Some(&record.value), record.timestamp_ms)?;
        context.forward(record)
    }
}

/// Stores are named by text, or brought along.
fn names_stores_by_strings(numbers: KStream<String, i64>, name: String) -> KStream<String, i64> {
    numbers.process(&[&name], |_| Ok(ForwardsText))
}

fn main() {}
