//! The runtime's seams, over TCP: the suite that the embedded broker passes in process.

use std::sync::Arc;

use streams_core::log::conformance::{Harness, RULES};
use streams_kafka::KafkaLog;

use crate::server::Server;

#[test]
fn the_suite_of_the_seams_passes_over_tcp() {
    let server = Server::start_own(&["group.initial.rebalance.delay.ms=0"]);
    let harness = Harness::new(Arc::new(KafkaLog::new(server.address())), "seams");
    let broken: Vec<&str> = RULES
        .iter()
        .filter(|(_, rule)| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rule(&harness))).is_err()
        })
        .map(|(name, _)| *name)
        .collect();
    assert!(broken.is_empty(), "broken rules: {broken:#?}");
}
