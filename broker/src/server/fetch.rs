//! A Fetch that waits: it is answered when enough bytes are there, when something is wrong with a partition, or when the
//! client's time is up.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::FetchRequest;

use super::Shared;
use crate::handler::{FetchAnswer, RequestContext};
use crate::topic::waiter::FetchWaiter;

/// Serves a Fetch, waiting up to its `max_wait_ms` for `min_bytes`.
pub(super) async fn serve(
    shared: &Shared,
    context: &RequestContext,
    mut request: FetchRequest,
) -> FetchAnswer {
    let broker = &shared.broker;
    let session = match broker.open_fetch(context, &mut request, shared.clock.now_ms()) {
        Ok(session) => session,
        Err(error) => return FetchAnswer::refused(error),
    };
    let denied = broker.take_unreadable(context, &mut request);
    let mut answer = if denied.is_empty() {
        serve_readable(shared, context.version, &request).await
    } else {
        // An error is told at once.
        broker.find(context.version, &request, None)
    };
    denied.into_iter().for_each(|topic| answer.push(topic));
    broker.complete_fetch(session, &mut answer, shared.clock.now_ms());
    answer
}

async fn serve_readable(shared: &Shared, version: i16, request: &FetchRequest) -> FetchAnswer {
    // More than may be sent is not waited for.
    let most_bytes = usize::try_from(request.max_bytes)
        .unwrap_or(0)
        .min(shared.broker.config().max_fetch_bytes);
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0).min(most_bytes);
    let has_partitions = request.topics.iter().any(|topic| !topic.partitions.is_empty());
    let answer = shared.broker.find(version, request, None);
    if is_complete(&answer, min_bytes) || !has_partitions || request.max_wait_ms <= 0 {
        return answer;
    }
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let waiting = wait(shared, version, request, min_bytes);
    match tokio::time::timeout(max_wait, waiting).await {
        Ok(answer) => answer,
        Err(_) => shared.broker.find(version, request, None),
    }
}

async fn wait(shared: &Shared, version: i16, request: &FetchRequest, min_bytes: usize) -> FetchAnswer {
    loop {
        let waiter = Arc::new(FetchWaiter::default());
        let answer = shared.broker.find(version, request, Some(&waiter));
        if is_complete(&answer, min_bytes) {
            return answer;
        }
        waiter.expect((min_bytes - answer.bytes()) as u64);
        waiter.wait().await;
    }
}

/// Whether nothing is gained by waiting on: enough bytes, or an error to tell.
fn is_complete(answer: &FetchAnswer, min_bytes: usize) -> bool {
    answer.bytes() >= min_bytes || answer.has_error()
}
