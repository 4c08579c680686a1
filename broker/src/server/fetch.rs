//! A Fetch that waits: it is answered when enough bytes are there, when something is wrong with a partition, or when the
//! client's time is up.

use std::time::Duration;

use kafka_protocol::messages::{FetchRequest, FetchResponse};

use super::Shared;
use crate::handler::{Outcome, RequestContext, Response};

/// How often a waiting Fetch looks whether anything was appended.
const POLL: Duration = Duration::from_millis(2);

/// Serves a Fetch, waiting up to its `max_wait_ms` for `min_bytes`.
pub(super) async fn serve(shared: &Shared, context: &RequestContext, request: FetchRequest) -> Outcome {
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let has_partitions = request.topics.iter().any(|topic| !topic.partitions.is_empty());
    let deadline = shared.clock.elapsed() + max_wait;
    loop {
        let seen = shared.broker.progress();
        let outcome = shared
            .broker
            .handle(context, request.clone().into(), shared.clock.now_ms());
        let done = match &outcome {
            Outcome::Ready(Response::Fetch(response)) => is_complete(response, min_bytes) || !has_partitions,
            _ => true,
        };
        if done || shared.clock.elapsed() >= deadline {
            return outcome;
        }
        while shared.broker.progress() == seen && shared.clock.elapsed() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Whether nothing is gained by waiting on: enough bytes, or an error to tell.
fn is_complete(response: &FetchResponse, min_bytes: usize) -> bool {
    let partitions = || response.responses.iter().flat_map(|topic| &topic.partitions);
    let bytes: usize = partitions()
        .map(|partition| partition.records.as_ref().map_or(0, bytes::Bytes::len))
        .sum();
    bytes >= min_bytes || response.error_code != 0 || partitions().any(|partition| partition.error_code != 0)
}
