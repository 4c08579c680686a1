//! What tools ask about the cluster: DescribeCluster, DescribeQuorum, UpdateFeatures. It is one node, which controls itself.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    TopicName, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

use super::api_versions::FEATURES;
use super::{Broker, Refusal, RequestContext, text};
use crate::acl::{CLUSTER_NAME, Operation, ResourceType};

/// `endpoint_type` of a request to brokers, and to controllers.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;
/// "Not requested" in `authorized_operations`.
const OPERATIONS_NOT_REQUESTED: i32 = i32::MIN;
/// The log that a quorum of controllers agrees on. This node decides alone and keeps no such log; it stands for the answer.
const METADATA_TOPIC: &str = "__cluster_metadata";
/// First version of DescribeQuorum that has messages and nodes.
const QUORUM_NODES_VERSION: i16 = 2;
/// First version of UpdateFeatures without an answer for each feature.
const FEATURES_TOGETHER_VERSION: i16 = 2;

impl Broker {
    /// Host and port that clients of a listener are told.
    pub(super) fn advertised(&self, context: &RequestContext) -> (&str, i32) {
        let name = context.listener.as_deref();
        let mut listeners = self.config.network.listeners.iter();
        match listeners.find(|listener| Some(listener.name.as_str()) == name) {
            Some(listener) => (&listener.advertised_host, i32::from(listener.advertised_port)),
            None => (&self.config.host, self.config.port),
        }
    }

    pub(super) fn describe_cluster(
        &self,
        context: &RequestContext,
        request: &DescribeClusterRequest,
    ) -> DescribeClusterResponse {
        let node = BrokerId(self.config.node_id);
        let operations = if request.include_cluster_authorized_operations {
            self.authorized_operations(context, ResourceType::Cluster, CLUSTER_NAME)
        } else {
            OPERATIONS_NOT_REQUESTED
        };
        let response = DescribeClusterResponse::default()
            .with_cluster_authorized_operations(operations)
            .with_endpoint_type(BROKERS);
        let refusal = match request.endpoint_type {
            BROKERS => None,
            CONTROLLERS => Some((
                ResponseError::MismatchedEndpointType,
                "this is a listener of brokers",
            )),
            _ => Some((
                ResponseError::UnsupportedEndpointType,
                "there are brokers (1) and controllers (2)",
            )),
        };
        if let Some((error, message)) = refusal {
            return response
                .with_error_code(error.code())
                .with_error_message(Some(text(message)));
        }
        let (host, port) = self.advertised(context);
        let broker = DescribeClusterBroker::default()
            .with_broker_id(node)
            .with_host(text(host))
            .with_port(port)
            .with_rack(self.config.rack.as_deref().map(text));
        response
            .with_cluster_id(text(self.topics.cluster_id()))
            .with_controller_id(node)
            .with_brokers(vec![broker])
    }

    pub(super) fn describe_quorum(
        &self,
        context: &RequestContext,
        request: &DescribeQuorumRequest,
        now_ms: i64,
    ) -> DescribeQuorumResponse {
        let version = context.version;
        let mut response = DescribeQuorumResponse::default();
        if let Err(refusal) = self.check_on_cluster(context, Operation::Describe) {
            return response.with_error_code(refusal.code);
        }
        let node = BrokerId(self.config.node_id);
        let own = ReplicaState::default()
            .with_replica_id(node)
            .with_last_fetch_timestamp(now_ms)
            .with_last_caught_up_timestamp(now_ms);
        for topic in &request.topics {
            let partitions = topic.partitions.iter().map(|partition| {
                let data = PartitionData::default().with_partition_index(partition.partition_index);
                if topic.topic_name.as_str() == METADATA_TOPIC && partition.partition_index == 0 {
                    data.with_leader_id(node)
                        .with_leader_epoch(1)
                        .with_current_voters(vec![own.clone()])
                } else {
                    let error = ResponseError::UnknownTopicOrPartition;
                    let message = (version >= QUORUM_NODES_VERSION).then(|| text(&error.to_string()));
                    data.with_error_code(error.code()).with_error_message(message)
                }
            });
            response.topics.push(
                TopicData::default()
                    .with_topic_name(TopicName(topic.topic_name.0.clone()))
                    .with_partitions(partitions.collect()),
            );
        }
        if version >= QUORUM_NODES_VERSION {
            let (host, port) = self.advertised(context);
            let listener = Listener::default()
                .with_name(text("CONTROLLER"))
                .with_host(text(host))
                .with_port(u16::try_from(port).unwrap_or(0));
            response.nodes = vec![Node::default().with_node_id(node).with_listeners(vec![listener])];
        }
        response
    }

    /// Levels of features are fixed by the program: only to ask for what is in force succeeds.
    pub(super) fn update_features(
        &self,
        context: &RequestContext,
        request: &UpdateFeaturesRequest,
    ) -> UpdateFeaturesResponse {
        let mut response = UpdateFeaturesResponse::default();
        if let Err(refusal) = self.check_on_cluster(context, Operation::Alter) {
            return response
                .with_error_code(refusal.code)
                .with_error_message(Some(text(&refusal.message)));
        }
        for update in &request.feature_updates {
            let result = UpdatableFeatureResult::default().with_feature(update.feature.clone());
            let result = match check_feature(update) {
                Ok(()) => result,
                Err(refusal) if context.version >= FEATURES_TOGETHER_VERSION => {
                    return response
                        .with_results(Vec::new())
                        .with_error_code(refusal.code)
                        .with_error_message(Some(text(&refusal.message)));
                }
                Err(refusal) => result
                    .with_error_code(refusal.code)
                    .with_error_message(Some(text(&refusal.message))),
            };
            if context.version < FEATURES_TOGETHER_VERSION {
                response.results.push(result);
            }
        }
        response
    }
}

fn check_feature(update: &FeatureUpdateKey) -> Result<(), Refusal> {
    let (name, level) = (update.feature.as_str(), update.max_version_level);
    let Some(feature) = FEATURES.iter().find(|feature| feature.name == name) else {
        let message = format!("there is no feature {name}");
        return Err(Refusal::new(ResponseError::InvalidUpdateVersion, message));
    };
    if level == feature.level {
        return Ok(());
    }
    let message = format!(
        "feature {name} is at level {} and cannot be set to {level}: this version of the broker supports that level alone",
        feature.level
    );
    Err(Refusal::new(ResponseError::InvalidUpdateVersion, message))
}
