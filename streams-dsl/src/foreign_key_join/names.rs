//! What the nodes, topics and the store of a join by a foreign key are called.

use crate::foreign_key_serde::KeyTopics;
use crate::names::prefix;
use crate::plan::Plan;

/// Generated names are numbered in this order, which is Kafka's.
pub(super) struct JoinNames {
    pub(super) registration_topic: String,
    pub(super) send: String,
    pub(super) registration_sink: String,
    pub(super) registration_source: String,
    pub(super) store: String,
    pub(super) receive: String,
    pub(super) join_foreign: String,
    pub(super) foreign_join: String,
    pub(super) response_topic: String,
    pub(super) response_sink: String,
    pub(super) response_source: String,
    pub(super) resolver: String,
    pub(super) result: String,
}

impl JoinNames {
    pub(super) fn new(plan: &mut Plan, name: Option<&str>) -> Self {
        let mut next = |suffix: &str, prefix: &str| {
            let given = name.map(|name| format!("{name}{suffix}"));
            plan.names.processor_or(given.as_deref(), prefix)
        };
        Self {
            registration_topic: next("-subscription-registration", prefix::FK_REGISTRATION) + "-topic",
            send: next("-subscription-registration-processor", prefix::FK_REGISTRATION),
            registration_sink: next("-subscription-registration-sink", prefix::TABLE_SINK),
            registration_source: next("-subscription-registration-source", prefix::TABLE_SOURCE),
            store: next("-subscription-store", prefix::FK_STORE),
            receive: next("-subscription-receive", prefix::FK_PROCESSOR),
            join_foreign: next("-subscription-join-foreign", prefix::FK_PROCESSOR),
            foreign_join: next("-foreign-join-subscription", prefix::FK_PROCESSOR),
            response_topic: next("-subscription-response", prefix::FK_RESPONSE) + "-topic",
            response_sink: next("-subscription-response-sink", prefix::TABLE_SINK),
            response_source: next("-subscription-response-source", prefix::TABLE_SOURCE),
            resolver: next("-subscription-response-resolver", prefix::FK_RESOLVER),
            result: next("-result", prefix::FK_OUTPUT),
        }
    }

    pub(super) fn key_topics(&self) -> KeyTopics {
        KeyTopics::new(&self.registration_topic, &self.store)
    }
}
