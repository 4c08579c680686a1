//! Which repartitions the optimizer moves up, and across which operators: for processors see ADR 0009.

use streams_dsl::prelude::*;
use streams_dsl::processor::{
    BoxError, FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord, Processor, ProcessorContext,
};

/// Swaps key and value.
struct Swap;

impl Processor<String, String, String, String> for Swap {
    fn process(
        &mut self,
        record: Record<String, String>,
        context: &mut ProcessorContext<'_, '_, String, String>,
    ) -> Result<(), BoxError> {
        context.forward(Record::new(record.value, record.key, record.timestamp_ms))
    }
}

/// Forwards the value as something else.
struct Convert<T>(fn(&str) -> T);

impl<T: 'static> FixedKeyProcessor<String, String, T> for Convert<T> {
    fn process(
        &mut self,
        record: FixedKeyRecord<String, String>,
        context: &mut FixedKeyProcessorContext<'_, '_, '_, String, T>,
    ) -> Result<(), BoxError> {
        let value = (self.0)(record.value());
        context.forward(record.with_value(value))
    }
}

/// Counts twice, by two groupings.
fn count<V: DefaultSerde + Clone>(stream: &KStream<String, V>) {
    for name in ["first", "second"] {
        let counts = stream.group_by_key().count(Materialized::named(name));
        counts.to_stream().to("out");
    }
}

/// The repartition topics of an optimized topology.
fn topics(add: impl Fn(&KStream<String, String>)) -> Vec<String> {
    let builder = StreamsBuilder::new();
    add(&builder.stream("in"));
    let described = builder.build_with(Optimization::ALL).unwrap().describe();
    let sinks = described.lines().filter(|line| line.contains("Sink:"));
    let topics = sinks.filter_map(|line| Some(line.split_once("(topic: ")?.1.trim_end_matches(')')));
    topics
        .filter(|topic| topic.ends_with("-repartition"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn groupings_behind_a_processor_have_their_own_topics() {
    let topics = topics(|stream| count(&stream.process(&[], |_| Ok(Swap))));
    assert_eq!(topics, ["first-repartition", "second-repartition"]);
}

#[test]
fn no_repartition_goes_above_a_processor() {
    let build = |optimization| {
        let builder = StreamsBuilder::new();
        let stream = builder.stream::<String, String>("in");
        let selected = stream.select_key(|_, text| text.clone());
        count(&selected.process(&[], |_| Ok(Swap)));
        builder.build_with(optimization).unwrap()
    };
    let counts = |optimization| {
        let driver = TopologyTestDriver::new(&build(optimization)).unwrap();
        for text in ["x", "y", "x"] {
            driver.input("in").pipe("a".to_owned(), text.to_owned()).unwrap();
        }
        driver.written("out")
    };
    assert_eq!(counts(Optimization::ALL), counts(Optimization::NONE));
    let topics = topics(|stream| {
        let selected = stream.select_key(|_, text| text.clone());
        count(&selected.process(&[], |_| Ok(Swap)));
    });
    assert_eq!(topics, ["first-repartition", "second-repartition"]);
}

#[test]
fn repartitions_go_above_a_processor_of_values_if_those_can_be_written_there() {
    let same = topics(|stream| {
        let selected = stream.select_key(|_, text| text.clone());
        count(&selected.process_values(&[], |_| Ok(Convert(str::to_owned))));
    });
    assert_eq!(same, ["first-repartition"]);
    let other = topics(|stream| {
        let selected = stream.select_key(|_, text| text.clone());
        count(&selected.process_values(&[], |_| Ok(Convert(|text| text.len() as i64))));
    });
    assert_eq!(other, ["first-repartition", "second-repartition"]);
}

/// Kafka Streams refuses to build this.
#[test]
fn groupings_behind_what_follows_a_change_of_the_key_share_a_topic() {
    let add = |stream: &KStream<String, String>| {
        let selected = stream.select_key(|_, text| text.clone());
        count(&selected.filter(|_, text| text != "y"));
    };
    assert_eq!(topics(add), ["first-repartition"]);
    let counts = |optimization| {
        let builder = StreamsBuilder::new();
        add(&builder.stream("in"));
        let driver = TopologyTestDriver::new(&builder.build_with(optimization).unwrap()).unwrap();
        for text in ["x", "y", "x"] {
            driver.input("in").pipe("a".to_owned(), text.to_owned()).unwrap();
        }
        driver.written("out")
    };
    assert_eq!(counts(Optimization::ALL), counts(Optimization::NONE));
}
