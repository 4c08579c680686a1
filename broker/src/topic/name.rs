//! Which topic names are valid, as Kafka has it. A name becomes part of folder names, so nothing else may
//! pass.

use crate::topic::error::TopicError;

/// The longest topic name: a folder name is at most 255 bytes, with room for the partition.
pub const MAX_TOPIC_NAME_BYTES: usize = 249;

/// Checks one name by itself.
pub(crate) fn validate(name: &str) -> Result<(), TopicError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name == "." || name == ".." {
        "it cannot be . or .."
    } else if name.len() > MAX_TOPIC_NAME_BYTES {
        "it is longer than 249 characters"
    } else if !name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    {
        "only ASCII letters, digits, '.', '_' and '-' are allowed"
    } else {
        return Ok(());
    };
    Err(TopicError::InvalidTopic {
        name: name.to_owned(),
        reason: reason.to_owned(),
    })
}

/// Whether two different names would collide in metric names, which have '_' for '.'.
pub(crate) fn collide(one: &str, other: &str) -> bool {
    let unified = |byte| if byte == b'.' { b'_' } else { byte };
    one != other && one.bytes().map(unified).eq(other.bytes().map(unified))
}
