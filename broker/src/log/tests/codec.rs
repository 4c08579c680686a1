//! Our batches against an independent implementation, both ways, and against arbitrary bytes.

use bytes::{Bytes, BytesMut};
use expect_test::expect;
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use proptest::prelude::*;

use crate::log::{BatchBuilder, BatchView, Batches, ControlType, ProducerStamp, transaction_marker};

type Header = (String, Option<Vec<u8>>);

#[derive(Debug, Clone, PartialEq)]
struct Plain {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
}

fn record() -> impl Strategy<Value = Plain> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200));
    // The other implementation keeps headers in a map: unique keys only.
    let headers = proptest::collection::btree_map("[a-zé]{0,80}", bytes(), 0..3);
    (0_i64..1 << 45, bytes(), bytes(), headers).prop_map(|(timestamp, key, value, headers)| Plain {
        timestamp,
        key,
        value,
        headers: headers.into_iter().collect(),
    })
}

fn records() -> impl Strategy<Value = Vec<Plain>> {
    proptest::collection::vec(record(), 1..80)
}

fn encode(records: &[Plain], stamp: ProducerStamp) -> Bytes {
    let mut builder = BatchBuilder::new();
    for record in records {
        let headers: Vec<_> = record
            .headers
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        let before = builder.size_bytes();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.append(record.timestamp, key, value, &headers).unwrap();
        assert!(builder.size_bytes() - before <= BatchBuilder::size_upper_bound(key, value, &headers));
    }
    let size = builder.size_bytes();
    let batch = builder.finish(stamp).unwrap();
    assert_eq!(batch.len(), size);
    batch
}

fn decode(bytes: &[u8]) -> Vec<Plain> {
    let mut scratch = Vec::new();
    let mut found = Vec::new();
    for batch in Batches::new(bytes) {
        let batch = batch.unwrap();
        batch.check_crc().unwrap();
        let records = batch.records(&mut scratch).unwrap();
        let buffer = records.buffer();
        for (index, record) in records.enumerate() {
            let record = record.unwrap();
            assert_eq!(record.offset, batch.header().base_offset + index as i64);
            assert_eq!(record.key_range().map(|range| &buffer[range]), record.key);
            assert_eq!(record.value_range().map(|range| &buffer[range]), record.value);
            let headers = record.headers().map(|header| {
                let (key, value) = header.unwrap();
                (key.to_owned(), value.map(<[u8]>::to_vec))
            });
            found.push(Plain {
                timestamp: record.timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: headers.collect(),
            });
        }
    }
    found
}

fn foreign_record(plain: &Plain, offset: i64, stamp: ProducerStamp) -> Record {
    let headers: IndexMap<_, _> = plain
        .headers
        .iter()
        .map(|(key, value)| (StrBytes::from_string(key.clone()), value.clone().map(Bytes::from)))
        .collect();
    Record {
        transactional: stamp.transactional,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: stamp.producer_id,
        producer_epoch: stamp.producer_epoch,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: stamp.base_sequence + offset as i32,
        timestamp: plain.timestamp,
        key: plain.key.clone().map(Bytes::from),
        value: plain.value.clone().map(Bytes::from),
        headers,
    }
}

fn stamps() -> impl Strategy<Value = ProducerStamp> {
    (0_i64..1 << 40, 0_i16..100, 0_i32..1000, any::<bool>()).prop_map(
        |(id, epoch, sequence, transactional)| ProducerStamp {
            producer_id: id,
            producer_epoch: epoch,
            base_sequence: sequence,
            transactional,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn another_implementation_reads_what_we_write(records in records(), stamp in stamps()) {
        let ours = encode(&records, stamp);
        let theirs = RecordBatchDecoder::decode(&mut ours.clone()).unwrap().records;
        let expected: Vec<_> = (0..).zip(&records).map(|(at, plain)| foreign_record(plain, at, stamp)).collect();
        prop_assert_eq!(theirs, expected);
        prop_assert_eq!(decode(&ours), records);
    }

    #[test]
    fn we_read_what_another_implementation_writes(records in records(), stamp in stamps()) {
        let foreign: Vec<_> = (0..).zip(&records).map(|(at, plain)| foreign_record(plain, at, stamp)).collect();
        let mut theirs = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut theirs, foreign.iter(), &options).unwrap();
        prop_assert_eq!(decode(&theirs), records);
    }

    #[test]
    fn damaged_batches_give_errors_and_never_panic(
        records in records(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encode(&records, ProducerStamp::NONE).to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut scratch = Vec::new();
        for batch in Batches::new(&bytes).flatten() {
            let Ok(records) = batch.records(&mut scratch) else { continue };
            for record in records.flatten() {
                for header in record.headers() {
                    let _ = header;
                }
            }
        }
    }
}

#[test]
fn the_bytes_of_a_batch_are_kafkas() {
    let mut builder = BatchBuilder::new();
    builder
        .append(1_000, Some(b"k"), Some(b"v"), &[("h", Some(b"1"))])
        .unwrap();
    builder.append(1_005, None, None, &[]).unwrap();
    let stamp = ProducerStamp {
        producer_id: 7,
        producer_epoch: 2,
        base_sequence: 9,
        transactional: true,
    };
    let batch = builder.finish(stamp).unwrap();
    expect![[r#"
        00000000000000000000004500000000026ec09e62001000000001
        00000000000003e800000000000003ed000000000000000700020000000900000002
        18000000026b027602026802310c000a02010100"#]]
    .assert_eq(&hex_lines(&batch));
}

fn hex_lines(bytes: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!(
        "{}\n{}\n{}",
        hex(&bytes[..27]),
        hex(&bytes[27..61]),
        hex(&bytes[61..])
    )
}

#[test]
fn another_implementation_reads_our_markers() {
    let marker = transaction_marker(5, 1, ControlType::Commit, 12, 77);
    let view = BatchView::parse(&marker).unwrap();
    assert!(view.header().is_control() && view.header().is_transactional());
    view.check_crc().unwrap();
    let records = RecordBatchDecoder::decode(&mut marker.clone()).unwrap().records;
    assert_eq!(records.len(), 1);
    assert!(records[0].control);
    assert_eq!(records[0].key.as_deref(), Some(&[0, 0, 0, 1][..]));
    assert_eq!(records[0].value.as_deref(), Some(&[0, 0, 0, 0, 0, 12][..]));
}

#[test]
fn sequences_wrap_inside_a_batch() {
    let stamp = ProducerStamp {
        base_sequence: i32::MAX - 1,
        producer_id: 1,
        producer_epoch: 0,
        transactional: false,
    };
    let batch = encode(
        &vec![
            Plain {
                timestamp: 0,
                key: None,
                value: None,
                headers: Vec::new()
            };
            4
        ],
        stamp,
    );
    assert_eq!(BatchView::parse(&batch).unwrap().header().last_sequence(), 1);
}
