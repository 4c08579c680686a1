//! The suite that every log passes, against an Apache Kafka cluster: `HEADWATER_TEST_KAFKA` names its bootstrap servers.
//! `tests/with-apache-kafka` starts one for the time of a command.
#![allow(
    clippy::print_stdout,
    reason = "says that it is skipped, and which rule is under test"
)]

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use streams_core::log::conformance::{Harness, RULES};
use streams_kafka::KafkaLog;

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "names topics that no earlier run has left on the cluster"
)]
fn conforms_on_apache_kafka() {
    let Ok(servers) = std::env::var("HEADWATER_TEST_KAFKA") else {
        // Seen in the output of `cargo test -- --nocapture`.
        println!(
            "skipped: set HEADWATER_TEST_KAFKA, or run streams-kafka/tests/with-apache-kafka cargo test ..."
        );
        return;
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_millis());
    let harness = Harness::new(Arc::new(KafkaLog::new(servers)), &format!("conformance-{now}"));
    let broken = RULES.iter().filter(|(name, rule)| {
        println!("{name}");
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rule(&harness))).is_err()
    });
    let broken: Vec<&str> = broken.map(|(name, _)| *name).collect();
    assert!(broken.is_empty(), "broken rules: {broken:#?}");
}

#[test]
fn settings_of_the_runtime_cannot_be_overridden() {
    let error = KafkaLog::new("localhost:9092")
        .set("isolation.level", "read_uncommitted")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "isolation.level is set by the runtime; leave it out"
    );
}
