//! What happens to batches before they are stored: codecs, and when a segment is full.

use bytes::BytesMut;

use super::*;
use crate::log::append::AppendOrigin;
use crate::log::batch::{
    BASE_TIMESTAMP_AT, BATCH_HEADER_BYTES, LENGTH_AT, LOG_OVERHEAD_BYTES, MAX_TIMESTAMP_AT,
};
use crate::log::builder::{put, stamp_crc};
use crate::log::{BatchView, CleanupPolicy, Compression, CompressionType};

pub(super) const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// The same batch under another codec.
pub(super) fn packed(batch: &Bytes, codec: Compression) -> Bytes {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        compression_type: CompressionType::Codec(codec),
        ..LogConfig::default()
    };
    let rules = open(dir.path(), config, false).0.rules().unwrap();
    let prepared = rules
        .prepare(batch.clone(), AppendOrigin::Client, NOW_MS)
        .unwrap();
    prepared.bytes
}

fn codec_of(log: &PartitionLog) -> Vec<Compression> {
    let read = log.read(0, 1_000_000, Isolation::ReadUncommitted, true).unwrap();
    let batches = Batches::new(&read.records).map(|batch| batch.unwrap().header().compression());
    batches.collect()
}

#[test]
fn a_topic_with_a_codec_stores_all_batches_under_it() {
    for of_topic in CODECS {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig {
            compression_type: CompressionType::Codec(of_topic),
            ..LogConfig::default()
        };
        let mut log = open(dir.path(), config, false).0;
        for (number, of_producer) in CODECS.into_iter().enumerate() {
            let batch = batch("value", 10, stamp(7, 2, number as i32 * 10));
            append(&mut log, packed(&batch, of_producer)).unwrap();
        }
        assert_eq!(codec_of(&log), [of_topic; 5]);
        let values = read_all(&log, 0, Isolation::ReadUncommitted);
        assert_eq!(values.len(), 50);
        assert_eq!(values[49], (49, "value9".to_owned()));
        // A retry is known by its producer, whatever became of its bytes.
        let retry = append(&mut log, batch("value", 10, stamp(7, 2, 40))).unwrap();
        assert!(retry.duplicate && retry.base_offset == 40);
    }
}

#[test]
fn without_a_codec_of_its_own_a_topic_keeps_what_came() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), LogConfig::default(), false).0;
    for codec in CODECS {
        let packed = packed(&batch("v", 3, ProducerStamp::NONE), codec);
        append(&mut log, packed.clone()).unwrap();
        let end = log.log_end_offset();
        let read = log
            .read(end - 3, 1_000_000, Isolation::ReadUncommitted, true)
            .unwrap();
        // Offset and leader epoch apart.
        assert_eq!(read.records[16..], packed[16..]);
    }
    assert_eq!(codec_of(&log), CODECS);
}

#[test]
fn a_batch_that_outgrows_the_limit_when_it_is_decompressed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        compression_type: CompressionType::Codec(Compression::None),
        max_message_bytes: 2_000,
        ..LogConfig::default()
    };
    let mut log = open(dir.path(), config, false).0;
    let small = packed(
        &batch("the same again and again ", 200, ProducerStamp::NONE),
        Compression::Zstd,
    );
    assert!(small.len() < 2_000);
    assert!(matches!(
        append(&mut log, small),
        Err(AppendError::MessageTooLarge { .. })
    ));
    assert_eq!(log.log_end_offset(), 0);
}

/// A batch of three records changed in one place, under a checksum that is right again.
fn changed(change: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut bytes = BytesMut::from(&batch("v", 3, ProducerStamp::NONE)[..]);
    change(&mut bytes);
    let length = (bytes.len() - LOG_OVERHEAD_BYTES) as i32;
    put(&mut bytes, LENGTH_AT, length.to_be_bytes());
    stamp_crc(&mut bytes);
    bytes.freeze()
}

/// Where the second record begins: behind the first, whose length is one byte.
fn second_record(batch: &[u8]) -> usize {
    BATCH_HEADER_BYTES + 1 + usize::from(batch[BATCH_HEADER_BYTES] >> 1)
}

#[test]
fn strict_validation_refuses_what_no_consumer_could_read() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [mut lax, mut strict] = [(0, false), (1, true)].map(|(index, strict_validation)| {
        let config = LogConfig {
            strict_validation,
            ..LogConfig::default()
        };
        open(dirs[index].path(), config, false).0
    });
    for codec in CODECS {
        let good = packed(&batch("v", 3, ProducerStamp::NONE), codec);
        append(&mut strict, good.clone()).unwrap();
        append(&mut lax, good).unwrap();
    }
    let end = strict.log_end_offset();
    let length = changed(|bytes| {
        let second = second_record(bytes);
        bytes[second] = 126;
    });
    let offset = changed(|bytes| {
        let second = second_record(bytes);
        bytes[second + 3] = 4;
    });
    let behind = changed(|bytes| bytes.extend_from_slice(b"more"));
    let largest = changed(|bytes| put(bytes, MAX_TIMESTAMP_AT, (NOW_MS + 1).to_be_bytes()));
    for (bad, code) in [(length, 2), (offset.clone(), 87), (behind, 87), (largest, 87)] {
        let error = append(&mut strict, bad.clone()).unwrap_err();
        assert_eq!(error.error_code(), code, "{error}");
        append(&mut lax, bad).unwrap();
    }
    let Err(AppendError::InvalidRecord { record_errors, .. }) = append(&mut strict, offset) else {
        panic!("accepted");
    };
    assert_eq!(record_errors[0].batch_index, 1);
    assert_eq!(record_errors[0].message, "the record's offset is 2, not 1");
    // The header tells of a time that is not too far ahead, the records of another one.
    let late = NOW_MS + 60 * 60 * 1000 - 1;
    let ahead = changed(|bytes| put(bytes, BASE_TIMESTAMP_AT, late.to_be_bytes()));
    assert_eq!(append(&mut strict, ahead).unwrap_err().error_code(), 32);
    assert_eq!(strict.log_end_offset(), end);
}

#[test]
fn levels_are_those_of_the_topic() {
    let text = batch(
        "some text that is long enough to be packed well or not so well ",
        500,
        ProducerStamp::NONE,
    );
    for (codec, key, low, high) in [
        (Compression::Gzip, "gzip", "1", "9"),
        (Compression::Zstd, "zstd", "-7", "19"),
    ] {
        let size = |level: &str| {
            let dir = tempfile::tempdir().unwrap();
            let overrides = [
                ("compression.type", key),
                (&format!("compression.{key}.level"), level),
            ];
            let overrides = overrides
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
            let config = LogConfig::default().with_overrides(&overrides).unwrap();
            let mut log = open(dir.path(), config, false).0;
            append(&mut log, text.clone()).unwrap();
            assert_eq!(codec_of(&log), [codec]);
            log.size_bytes()
        };
        assert!(size(low) > size(high), "{key}");
    }
}

/// Base offsets of the segments after `count` appends, `step_ms` apart.
fn segments(config: LogConfig, count: usize, step_ms: i64) -> Vec<i64> {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), config, false).0;
    for number in 0..count {
        let mut builder = BatchBuilder::new();
        let now_ms = NOW_MS + number as i64 * step_ms;
        builder.append(now_ms, Some(b"key"), Some(b"value"), &[]).unwrap();
        let batch = builder.finish(ProducerStamp::NONE).unwrap();
        assert_eq!(BatchView::parse(&batch).unwrap().header().max_timestamp, now_ms);
        log.append(batch, AppendOptions::CLIENT, now_ms).unwrap();
    }
    log.segments.iter().map(|segment| segment.base_offset).collect()
}

#[test]
fn age_jitter_and_index_size_seal_segments() {
    let hourly = LogConfig {
        segment_ms: 3_600_000,
        ..LogConfig::default()
    };
    assert_eq!(segments(hourly.clone(), 5, 1_800_000), [0, 3]);
    let compacted = LogConfig {
        cleanup_policy: CleanupPolicy {
            delete: false,
            compact: true,
        },
        max_compaction_lag_ms: 1_800_000,
        ..hourly.clone()
    };
    assert_eq!(segments(compacted, 5, 1_800_000), [0, 2, 4]);
    let jittered = LogConfig {
        segment_jitter_ms: 3_000_000,
        ..hourly
    };
    let bases = segments(jittered, 100, 100_000);
    let lengths: std::collections::BTreeSet<i64> = bases.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(lengths.len() > 1, "all at once: {bases:?}");
    assert!(
        lengths.iter().all(|length| (6..=37).contains(length)),
        "{bases:?}"
    );
    let small_index = LogConfig {
        index_interval_bytes: 1,
        segment_index_bytes: 24,
        ..LogConfig::default()
    };
    let bases = segments(small_index, 20, 1);
    assert!(
        bases.len() > 4 && bases.windows(2).all(|pair| pair[1] - pair[0] == bases[1]),
        "{bases:?}"
    );
}
