//! Handles that are used where they are of no use: by another builder, or too late.

use streams_dsl::prelude::*;
use streams_dsl::processor::{BoxError, Processor, ProcessorContext};
use streams_dsl::store::KeyValueStoreBuilder;
use streams_dsl::topology::{Node, SinkOptions, SourceOptions, TopicName, TopologyBuilder};

struct Pass;

impl Processor<String, i64, String, i64> for Pass {
    fn process(
        &mut self,
        record: Record<String, i64>,
        context: &mut ProcessorContext<'_, '_, String, i64>,
    ) -> Result<(), BoxError> {
        context.forward(record)
    }
}

fn source(builder: &mut TopologyBuilder) -> Node<String, i64> {
    let topics = [TopicName::external("in")];
    builder.add_source("source", topics, SourceOptions::default())
}

/// A topology to which something is done with a node of another builder, which has many.
fn with_stray(add: impl FnOnce(&mut TopologyBuilder, Node<String, i64>)) -> String {
    let mut other = TopologyBuilder::new();
    let mut stray = source(&mut other);
    for n in 0..9 {
        stray = other.add_processor(format!("pass-{n}"), &[stray], &[], |_| Ok(Pass));
    }
    let mut builder = TopologyBuilder::new();
    source(&mut builder);
    add(&mut builder, stray);
    assert!(other.build().is_ok());
    builder.build().unwrap_err().to_string()
}

#[test]
fn nodes_of_another_builder_are_an_error_that_names_the_place() {
    let error = with_stray(|builder, stray| {
        builder.add_processor("pass", &[stray], &[], |_| Ok::<Pass, _>(Pass));
    });
    let expected = "a parent of pass is a node of another TopologyBuilder";
    assert!(error.contains(expected), "{error}");
    let error = with_stray(|builder, stray| {
        let topic = TopicName::external("out");
        builder.add_sink("sink", topic, &[stray], SinkOptions::default());
    });
    assert!(error.contains("a parent of sink is a node of"), "{error}");
    let error = with_stray(|builder, stray| {
        builder.add_store(KeyValueStoreBuilder::<String, i64>::new("rows"));
        builder.connect_store(stray, "rows");
    });
    assert!(
        error.contains("store rows is connected to is a node of"),
        "{error}"
    );
    let error = with_stray(|builder, stray| builder.copartition(&[stray.id()]));
    assert!(error.contains("a source of copartitioned topics"), "{error}");
}

/// What a test driver says of a topology if this is done with its handles when it is built.
fn too_late(use_them: impl FnOnce(KStream<String, i64>, KTable<String, i64>)) -> Option<String> {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, i64>("in");
    let table = builder.table::<String, i64>("table", Materialized::default());
    stream.to("out");
    let topology = builder.build().unwrap();
    use_them(stream, table);
    let started = TopologyTestDriver::new(&topology);
    started.err().map(|error| error.to_string())
}

#[test]
fn what_is_declared_after_build_is_an_error_where_it_would_run() {
    assert_eq!(too_late(|_, _| ()), None);
    let error = too_late(|stream, _| {
        let _ = stream.filter(|_, n| *n > 0);
    });
    let expected = "topology: KSTREAM-FILTER-0000000005 was declared after `build`, and is not part of the topology: \
                    declare everything before";
    assert_eq!(error.as_deref(), Some(expected));
    let mut errors = vec![
        too_late(|stream, _| {
            stream.to("too-late");
        }),
        too_late(|stream, table| {
            stream.join(&table, |n, _| n).to("too-late");
        }),
        too_late(|stream, table| {
            let changes = table.to_stream().map_values(Option::unwrap_or_default);
            stream.merge(&changes).to("too-late");
        }),
        too_late(|stream, _| {
            stream.print(Printed::default().writer(std::io::sink()));
        }),
    ];
    errors.push(too_late(|stream, table| {
        let counts = stream.group_by_key().count(Materialized::named("counts"));
        let _ = counts
            .join(&table, |a, b| a + b)
            .suppress(Suppressed::until_time_limit(
                std::time::Duration::ZERO,
                BufferConfig::unbounded(),
            ));
    }));
    errors.push(too_late(|_, table| {
        let joined = table.left_join_foreign_key(&table, |key, _| Some(key.clone()), |n, _| *n);
        let _ = joined
            .group_by(|key, n| (key.clone(), *n))
            .count(Materialized::default());
    }));
    for error in errors {
        let error = error.unwrap();
        assert!(error.contains("was declared after `build`"), "{error}");
    }
    let error = too_late(|stream, _| {
        let _ = stream.named("late-name");
    });
    assert!(error.unwrap().starts_with("topology: late-name was declared"));
}
