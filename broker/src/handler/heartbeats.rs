//! What surrounds the heartbeats of groups: what is refused before their coordinator sees them, and what is added to its
//! answers.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ConsumerGroupHeartbeatResponse;

use super::{Broker, Response, text};
use crate::coordinator_records::is_internal_topic;
use crate::group::{Assignor, GroupRequest};
use crate::protocol::streams_heartbeat::{Status, StreamsGroupHeartbeatResponse, Topology};
use crate::topic;

/// `status_code`: internal topics are not there.
const MISSING_INTERNAL_TOPICS: i8 = 3;

impl Broker {
    /// The answer to a heartbeat that its group need not see.
    pub(super) fn refused_heartbeat(&self, request: &GroupRequest) -> Option<Response> {
        match request {
            GroupRequest::ConsumerHeartbeat(heartbeat) => {
                // A name that nobody knows is refused with whatever else is wrong with the request.
                let asked = Assignor::of_name(heartbeat.server_assignor.as_deref()?)?;
                let offered = &self.config.group.consumer.assignors;
                if offered.contains(&asked) {
                    return None;
                }
                let names: Vec<_> = offered.iter().map(|assignor| assignor.name()).collect();
                let message = format!(
                    "ServerAssignor {} is not supported. Supported assignors: {}.",
                    asked.name(),
                    names.join(", ")
                );
                let refused = ConsumerGroupHeartbeatResponse::default()
                    .with_error_code(ResponseError::UnsupportedAssignor.code())
                    .with_error_message(Some(text(&message)));
                Some(Response::ConsumerGroupHeartbeat(refused))
            }
            GroupRequest::StreamsHeartbeat(heartbeat) => {
                let message = heartbeat.topology.as_ref().and_then(impossible_topics)?;
                Some(Response::StreamsGroupHeartbeat(StreamsGroupHeartbeatResponse {
                    error_code: ResponseError::StreamsInvalidTopology.code(),
                    error_message: Some(message),
                    ..StreamsGroupHeartbeatResponse::default()
                }))
            }
            _ => None,
        }
    }
}

/// The names of all topics of an application.
pub(super) fn topics_of(topology: &Topology) -> impl Iterator<Item = &str> {
    topology.subtopologies.iter().flat_map(|part| {
        let sources = part.source_topics.iter().chain(&part.repartition_sink_topics);
        let internal = part
            .repartition_source_topics
            .iter()
            .chain(&part.state_changelog_topics);
        sources
            .chain(internal.map(|topic| &topic.name))
            .map(String::as_str)
    })
}

/// Why an application cannot have these topics.
pub(super) fn impossible_topics(topology: &Topology) -> Option<String> {
    let listed = |is_meant: &dyn Fn(&str) -> bool| {
        let names: Vec<_> = topics_of(topology).filter(|name| is_meant(name)).collect();
        (!names.is_empty()).then(|| names.join(","))
    };
    let prohibited = listed(&is_internal_topic).map(|names| {
        format!("Use of Kafka internal topics {names} in a Kafka Streams topology is prohibited.")
    });
    prohibited.or_else(|| {
        listed(&|name| topic::validate_name(name).is_err())
            .map(|names| format!("Topic names {names} are not valid topic names."))
    })
}

/// Says which internal topics are missing because the member may not make them.
pub(super) fn tell_not_created(response: &mut StreamsGroupHeartbeatResponse, not_created: &[String]) {
    if not_created.is_empty() {
        return;
    }
    let denied = format!("Unauthorized to CREATE on topics {}.", not_created.join(", "));
    let status = response.status.get_or_insert_default();
    let missing = status
        .iter_mut()
        .find(|status| status.status_code == MISSING_INTERNAL_TOPICS);
    match missing {
        Some(missing) => missing.status_detail = format!("{}; {denied}", missing.status_detail),
        None => status.push(Status {
            status_code: MISSING_INTERNAL_TOPICS,
            status_detail: denied,
        }),
    }
}
