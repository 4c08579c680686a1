//! ApiVersions: which APIs and versions there are, and which features are finalized.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiVersionsRequest;
use kafka_protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use super::api::{APIS, Api};
use super::{Broker, text};

const PRODUCE_KEY: i16 = 0;
const API_VERSIONS_KEY: i16 = 18;
/// First version that names the client, which is then checked.
const CLIENT_NAME_VERSION: i16 = 3;
/// First version whose clients understand supported features from level 0 on (KAFKA-17011).
const FEATURES_FROM_ZERO_VERSION: i16 = 4;

/// A feature: its name, the levels supported, the level in force.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Feature {
    pub(crate) name: &'static str,
    pub(crate) min_level: i16,
    pub(crate) max_level: i16,
    pub(crate) level: i16,
}

/// What is finalized, as a new Kafka 4.1 cluster has it.
pub(crate) const FEATURES: &[Feature] = &[
    Feature {
        name: "group.version",
        min_level: 0,
        max_level: 1,
        level: 1,
    },
    // 4.1-IV1
    Feature {
        name: "metadata.version",
        min_level: 7,
        max_level: 27,
        level: 27,
    },
    Feature {
        name: "streams.version",
        min_level: 0,
        max_level: 1,
        level: 1,
    },
    Feature {
        name: "transaction.version",
        min_level: 0,
        max_level: 2,
        level: 2,
    },
];

impl Broker {
    pub(super) fn api_versions(&self, version: i16, request: &ApiVersionsRequest) -> ApiVersionsResponse {
        if version >= CLIENT_NAME_VERSION
            && !(is_software_name(&request.client_software_name)
                && is_software_name(&request.client_software_version))
        {
            return ApiVersionsResponse::default().with_error_code(ResponseError::InvalidRequest.code());
        }
        let supported = FEATURES
            .iter()
            .filter(|feature| version >= FEATURES_FROM_ZERO_VERSION || feature.min_level > 0)
            .map(|feature| {
                SupportedFeatureKey::default()
                    .with_name(text(feature.name))
                    .with_min_version(feature.min_level)
                    .with_max_version(feature.max_level)
            });
        let finalized = FEATURES.iter().map(|feature| {
            FinalizedFeatureKey::default()
                .with_name(text(feature.name))
                .with_min_version_level(feature.level)
                .with_max_version_level(feature.level)
        });
        let response = ApiVersionsResponse::default().with_api_keys(APIS.iter().map(advertised).collect());
        if version < CLIENT_NAME_VERSION {
            return response;
        }
        response
            .with_supported_features(supported.collect())
            .with_finalized_features_epoch(0)
            .with_finalized_features(finalized.collect())
    }
}

/// The answer to an ApiVersions of a version that is not known: in version 0, with the versions that are (KIP-511).
pub fn unsupported_api_versions() -> ApiVersionsResponse {
    let own = APIS.iter().filter(|api| api.key == API_VERSIONS_KEY);
    ApiVersionsResponse::default()
        .with_error_code(ResponseError::UnsupportedVersion.code())
        .with_api_keys(own.map(advertised).collect())
}

fn advertised(api: &Api) -> ApiVersion {
    // Old librdkafka takes a Produce that begins later for a broker without compression (KAFKA-18659).
    let min_version = if api.key == PRODUCE_KEY {
        0
    } else {
        api.min_version
    };
    ApiVersion::default()
        .with_api_key(api.key)
        .with_min_version(min_version)
        .with_max_version(api.max_version)
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
fn is_software_name(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}
