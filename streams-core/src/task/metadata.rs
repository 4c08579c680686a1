//! What is committed beside an offset: the partition's time, in Kafka Streams' bytes.
//!
//! base64 of: magic 2 ‖ 8-byte partition time ‖ 4-byte count of processor entries (none yet).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

const MAGIC: u8 = 2;
/// Older than the processor entries; Kafka Streams still reads it, so do we.
const MAGIC_TIME_ONLY: u8 = 1;

pub(super) fn encode(partition_time_ms: i64) -> String {
    let mut bytes = [0; 13];
    bytes[0] = MAGIC;
    bytes[1..9].copy_from_slice(&partition_time_ms.to_be_bytes());
    BASE64_STANDARD.encode(bytes)
}

/// The partition's time; -1 if the text is not ours.
pub(super) fn partition_time_ms(metadata: &str) -> i64 {
    let Ok(bytes) = BASE64_STANDARD.decode(metadata) else {
        return -1;
    };
    match bytes.split_first() {
        Some((&(MAGIC | MAGIC_TIME_ONLY), rest)) => rest
            .first_chunk::<8>()
            .map_or(-1, |time| i64::from_be_bytes(*time)),
        _ => -1,
    }
}

#[cfg(test)]
mod tests {
    use super::{encode, partition_time_ms};

    #[test]
    fn keeps_the_time_and_survives_text_of_others() {
        assert_eq!(encode(1), "AgAAAAAAAAABAAAAAA==");
        assert_eq!(partition_time_ms(&encode(1_234)), 1_234);
        assert_eq!(partition_time_ms("AQAAAAAAAAAH"), 7);
        for other in ["", "not base64!", "Ag==", "CQAAAAAAAAAH"] {
            assert_eq!(partition_time_ms(other), -1, "{other}");
        }
    }
}
