//! Every API that is served, with its key and versions: the one list that decoding, encoding and ApiVersions go by.
//! To add an API: a line in `apis!` at the end, and an arm in [`Broker::handle`](super::Broker::handle).

use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as m;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

use crate::protocol::offsets_by_id::{
    OffsetCommitByIdRequest, OffsetCommitByIdResponse, OffsetFetchByIdRequest, OffsetFetchByIdResponse,
};
use crate::protocol::streams_describe::{StreamsGroupDescribeRequest, StreamsGroupDescribeResponse};
use crate::protocol::streams_heartbeat::{StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse};

/// An API of Kafka's protocol as this broker serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// Its number in requests.
    pub key: i16,
    /// Its name.
    pub name: &'static str,
    /// First version that is served.
    pub min_version: i16,
    /// Last version that is served.
    pub max_version: i16,
}

/// A request could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// There is no such API, or not in that version.
    #[error("API {key} in version {version} is not served")]
    Unsupported {
        /// The number of the API.
        key: i16,
        /// The version asked for.
        version: i16,
    },
    /// The bytes are not a request of that API and version.
    #[error("not a {api} request of version {version}: {reason}")]
    Malformed {
        /// The API.
        api: &'static str,
        /// The version.
        version: i16,
        /// What does not fit.
        reason: String,
    },
}

/// A response does not fit into its version: a mistake of this broker.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode a {api} response in version {version}: {reason}")]
pub struct ResponseEncodeError {
    api: &'static str,
    version: i16,
    reason: String,
}

/// The API with this key, if it is served.
pub fn served_api(key: i16) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key == key)
}

impl Response {
    /// Whether the request changed nothing: nobody has to wait for the disk before hearing of it.
    pub(crate) fn tells_only(&self) -> bool {
        matches!(
            self,
            Self::Fetch(_)
                | Self::ListOffsets(_)
                | Self::Metadata(_)
                | Self::OffsetFetch(_)
                | Self::OffsetFetchById(_)
                | Self::FindCoordinator(_)
                | Self::Heartbeat(_)
                | Self::ApiVersions(_)
                | Self::DescribeGroups(_)
                | Self::ListGroups(_)
        )
    }
}

macro_rules! apis {
    ($($key:literal $name:ident($request:ty, $response:ty) $min:literal ..= $max:literal),* $(,)?) => {
        /// The APIs served, by key. One whose later versions have messages of their own is two rows below, and one here.
        pub static APIS: LazyLock<Vec<Api>> = LazyLock::new(|| {
            let rows = [
                $(Api { key: $key, name: stringify!($name), min_version: $min, max_version: $max },)*
            ];
            let mut apis: Vec<Api> = Vec::new();
            for row in rows {
                match apis.last_mut() {
                    Some(earlier) if earlier.key == row.key => earlier.max_version = row.max_version,
                    _ => apis.push(row),
                }
            }
            apis
        });

        /// A request, decoded.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Request {
            $(#[doc = concat!("A ", stringify!($name), " request.")] $name($request),)*
        }

        /// A response, to be encoded.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Response {
            $(#[doc = concat!("A ", stringify!($name), " response.")] $name($response),)*
        }

        impl Request {
            /// Decodes the body of a request, without its header.
            ///
            /// # Errors
            /// [`RequestError`].
            pub fn decode(key: i16, version: i16, mut body: Bytes) -> Result<Self, RequestError> {
                match key {
                    $($key if ($min..=$max).contains(&version) => <$request>::decode(&mut body, version)
                        .map(Self::$name)
                        .map_err(|error| RequestError::Malformed {
                            api: stringify!($name),
                            version,
                            reason: error.to_string(),
                        }),)*
                    _ => Err(RequestError::Unsupported { key, version }),
                }
            }

            /// Version of the header that requests of this API and version begin with, if it is served.
            pub fn header_version(key: i16, version: i16) -> Option<i16> {
                match key {
                    $($key if ($min..=$max).contains(&version) => Some(<$request>::header_version(version)),)*
                    _ => None,
                }
            }
        }

        impl Response {
            /// Encodes the body of a response, without its header.
            ///
            /// # Errors
            /// A field does not exist in that version, or is too long.
            pub fn encode(&self, version: i16, buffer: &mut BytesMut) -> Result<(), ResponseEncodeError> {
                match self {
                    $(Self::$name(response) => response.encode(buffer, version).map_err(|error| ResponseEncodeError {
                        api: stringify!($name),
                        version,
                        reason: error.to_string(),
                    }),)*
                }
            }

            /// Version of the header that this response begins with.
            pub fn header_version(&self, version: i16) -> i16 {
                match self {
                    $(Self::$name(_) => <$response>::header_version(version),)*
                }
            }
        }

        $(
            impl From<$request> for Request {
                fn from(request: $request) -> Self {
                    Self::$name(request)
                }
            }

            impl TryFrom<Response> for $response {
                type Error = Response;

                fn try_from(response: Response) -> Result<Self, Response> {
                    match response {
                        Response::$name(response) => Ok(response),
                        other => Err(other),
                    }
                }
            }
        )*
    };
}

apis! {
    0 Produce(m::ProduceRequest, m::ProduceResponse) 3..=13,
    1 Fetch(m::FetchRequest, m::FetchResponse) 4..=18,
    2 ListOffsets(m::ListOffsetsRequest, m::ListOffsetsResponse) 1..=10,
    3 Metadata(m::MetadataRequest, m::MetadataResponse) 0..=13,
    8 OffsetCommit(m::OffsetCommitRequest, m::OffsetCommitResponse) 2..=9,
    8 OffsetCommitById(OffsetCommitByIdRequest, OffsetCommitByIdResponse) 10..=10,
    9 OffsetFetch(m::OffsetFetchRequest, m::OffsetFetchResponse) 1..=9,
    9 OffsetFetchById(OffsetFetchByIdRequest, OffsetFetchByIdResponse) 10..=10,
    10 FindCoordinator(m::FindCoordinatorRequest, m::FindCoordinatorResponse) 0..=6,
    11 JoinGroup(m::JoinGroupRequest, m::JoinGroupResponse) 0..=9,
    12 Heartbeat(m::HeartbeatRequest, m::HeartbeatResponse) 0..=4,
    13 LeaveGroup(m::LeaveGroupRequest, m::LeaveGroupResponse) 0..=5,
    14 SyncGroup(m::SyncGroupRequest, m::SyncGroupResponse) 0..=5,
    15 DescribeGroups(m::DescribeGroupsRequest, m::DescribeGroupsResponse) 0..=6,
    16 ListGroups(m::ListGroupsRequest, m::ListGroupsResponse) 0..=5,
    17 SaslHandshake(m::SaslHandshakeRequest, m::SaslHandshakeResponse) 0..=1,
    18 ApiVersions(m::ApiVersionsRequest, m::ApiVersionsResponse) 0..=4,
    19 CreateTopics(m::CreateTopicsRequest, m::CreateTopicsResponse) 2..=7,
    20 DeleteTopics(m::DeleteTopicsRequest, m::DeleteTopicsResponse) 1..=6,
    21 DeleteRecords(m::DeleteRecordsRequest, m::DeleteRecordsResponse) 0..=2,
    22 InitProducerId(m::InitProducerIdRequest, m::InitProducerIdResponse) 0..=5,
    23 OffsetForLeaderEpoch(m::OffsetForLeaderEpochRequest, m::OffsetForLeaderEpochResponse) 2..=4,
    24 AddPartitionsToTxn(m::AddPartitionsToTxnRequest, m::AddPartitionsToTxnResponse) 0..=5,
    25 AddOffsetsToTxn(m::AddOffsetsToTxnRequest, m::AddOffsetsToTxnResponse) 0..=4,
    26 EndTxn(m::EndTxnRequest, m::EndTxnResponse) 0..=5,
    27 WriteTxnMarkers(m::WriteTxnMarkersRequest, m::WriteTxnMarkersResponse) 1..=1,
    28 TxnOffsetCommit(m::TxnOffsetCommitRequest, m::TxnOffsetCommitResponse) 0..=5,
    29 DescribeAcls(m::DescribeAclsRequest, m::DescribeAclsResponse) 1..=3,
    30 CreateAcls(m::CreateAclsRequest, m::CreateAclsResponse) 1..=3,
    31 DeleteAcls(m::DeleteAclsRequest, m::DeleteAclsResponse) 1..=3,
    32 DescribeConfigs(m::DescribeConfigsRequest, m::DescribeConfigsResponse) 1..=4,
    33 AlterConfigs(m::AlterConfigsRequest, m::AlterConfigsResponse) 0..=2,
    34 AlterReplicaLogDirs(m::AlterReplicaLogDirsRequest, m::AlterReplicaLogDirsResponse) 1..=2,
    35 DescribeLogDirs(m::DescribeLogDirsRequest, m::DescribeLogDirsResponse) 1..=4,
    36 SaslAuthenticate(m::SaslAuthenticateRequest, m::SaslAuthenticateResponse) 0..=2,
    37 CreatePartitions(m::CreatePartitionsRequest, m::CreatePartitionsResponse) 0..=3,
    42 DeleteGroups(m::DeleteGroupsRequest, m::DeleteGroupsResponse) 0..=2,
    43 ElectLeaders(m::ElectLeadersRequest, m::ElectLeadersResponse) 0..=2,
    44 IncrementalAlterConfigs(m::IncrementalAlterConfigsRequest, m::IncrementalAlterConfigsResponse) 0..=1,
    45 AlterPartitionReassignments(m::AlterPartitionReassignmentsRequest, m::AlterPartitionReassignmentsResponse) 0..=1,
    46 ListPartitionReassignments(m::ListPartitionReassignmentsRequest, m::ListPartitionReassignmentsResponse) 0..=0,
    47 OffsetDelete(m::OffsetDeleteRequest, m::OffsetDeleteResponse) 0..=0,
    48 DescribeClientQuotas(m::DescribeClientQuotasRequest, m::DescribeClientQuotasResponse) 0..=1,
    49 AlterClientQuotas(m::AlterClientQuotasRequest, m::AlterClientQuotasResponse) 0..=1,
    50 DescribeUserScramCredentials(m::DescribeUserScramCredentialsRequest, m::DescribeUserScramCredentialsResponse) 0..=0,
    51 AlterUserScramCredentials(m::AlterUserScramCredentialsRequest, m::AlterUserScramCredentialsResponse) 0..=0,
    55 DescribeQuorum(m::DescribeQuorumRequest, m::DescribeQuorumResponse) 0..=2,
    57 UpdateFeatures(m::UpdateFeaturesRequest, m::UpdateFeaturesResponse) 0..=2,
    60 DescribeCluster(m::DescribeClusterRequest, m::DescribeClusterResponse) 0..=2,
    61 DescribeProducers(m::DescribeProducersRequest, m::DescribeProducersResponse) 0..=0,
    65 DescribeTransactions(m::DescribeTransactionsRequest, m::DescribeTransactionsResponse) 0..=0,
    66 ListTransactions(m::ListTransactionsRequest, m::ListTransactionsResponse) 0..=2,
    68 ConsumerGroupHeartbeat(m::ConsumerGroupHeartbeatRequest, m::ConsumerGroupHeartbeatResponse) 0..=1,
    69 ConsumerGroupDescribe(m::ConsumerGroupDescribeRequest, m::ConsumerGroupDescribeResponse) 0..=1,
    74 ListConfigResources(m::ListConfigResourcesRequest, m::ListConfigResourcesResponse) 0..=1,
    75 DescribeTopicPartitions(m::DescribeTopicPartitionsRequest, m::DescribeTopicPartitionsResponse) 0..=0,
    88 StreamsGroupHeartbeat(StreamsGroupHeartbeatRequest, StreamsGroupHeartbeatResponse) 0..=0,
    89 StreamsGroupDescribe(StreamsGroupDescribeRequest, StreamsGroupDescribeResponse) 0..=0,
}

impl Response {
    /// For how long its client is asked to be quiet; None if it has no place to say so.
    pub(crate) fn throttle_ms_mut(&mut self) -> Option<&mut i32> {
        macro_rules! with_place {
            ($($name:ident)*) => {
                match self {
                    $(Self::$name(response) => Some(&mut response.throttle_time_ms),)*
                    Self::SaslHandshake(_) | Self::SaslAuthenticate(_) | Self::WriteTxnMarkers(_) | Self::DescribeQuorum(_) => None,
                }
            };
        }
        with_place!(
            Produce Fetch ListOffsets Metadata OffsetCommit OffsetCommitById OffsetFetch OffsetFetchById FindCoordinator JoinGroup Heartbeat LeaveGroup SyncGroup DescribeGroups ListGroups ApiVersions CreateTopics DeleteTopics DeleteRecords InitProducerId OffsetForLeaderEpoch AddPartitionsToTxn AddOffsetsToTxn EndTxn TxnOffsetCommit DescribeAcls CreateAcls DeleteAcls DescribeConfigs AlterConfigs AlterReplicaLogDirs DescribeLogDirs CreatePartitions DeleteGroups ElectLeaders IncrementalAlterConfigs AlterPartitionReassignments ListPartitionReassignments OffsetDelete DescribeClientQuotas AlterClientQuotas DescribeUserScramCredentials AlterUserScramCredentials UpdateFeatures DescribeCluster DescribeProducers DescribeTransactions ListTransactions ConsumerGroupHeartbeat ConsumerGroupDescribe ListConfigResources DescribeTopicPartitions StreamsGroupHeartbeat StreamsGroupDescribe
        )
    }
}
