//! Sparse indexes: what a sealed segment keeps in memory still points before what is looked for, and near it.

use crate::log::index::{SEALED_INTERVAL_BYTES, SegmentIndex};

const INTERVAL_BYTES: u32 = 4096;
const BATCHES: i64 = 20_000;
const BASE_OFFSET: i64 = 1_000;

/// Batches of ten records and sizes up to 9,000 bytes; timestamps that now and then go back.
fn filled() -> (SegmentIndex, u64) {
    let mut index = SegmentIndex::new(BASE_OFFSET);
    let mut position = 0;
    for batch in 0..BATCHES {
        let size = 100 + (batch * 7_919 % 8_900) as usize;
        let timestamp = batch * 3 - batch % 50;
        let last_offset = BASE_OFFSET + batch * 10 + 9;
        index.add(last_offset, timestamp, position, size, INTERVAL_BYTES);
        position += size as u64;
    }
    index.seal();
    (index, position)
}

#[test]
fn a_thinned_index_points_before_what_the_whole_one_points_at_and_near_it() {
    let (whole, size) = filled();
    let mut thin = whole.clone();
    thin.thin();
    assert!(thin.file_bytes() as u64 / 8 <= size / SEALED_INTERVAL_BYTES as u64 + 1);
    assert!(thin.file_bytes() < whole.file_bytes() / 10);
    // An entry, its interval, and the interval and batch up to the next one.
    let near = SEALED_INTERVAL_BYTES as u64 + 4096 + 9_000;
    for offset in (BASE_OFFSET..BASE_OFFSET + BATCHES * 10).step_by(7) {
        let (exact, found) = (whole.position_before(offset), thin.position_before(offset));
        assert!(
            found <= exact && exact - found <= near,
            "{offset}: {found}, {exact}"
        );
        let bound = offset + 500;
        let (exact, found) = (whole.last_before(size, bound), thin.last_before(size, bound));
        assert!(found <= exact, "{offset}: {found:?}, {exact:?}");
    }
    for timestamp in (0..BATCHES * 3).step_by(11) {
        let (exact, found) = (
            whole.offset_before_timestamp(timestamp),
            thin.offset_before_timestamp(timestamp),
        );
        assert!(found <= exact, "{timestamp}: {found}, {exact}");
    }
    assert_eq!(thin.max_timestamp(), whole.max_timestamp());
    assert_eq!(thin.max_timestamp_offset(), whole.max_timestamp_offset());
}

#[test]
fn thinning_again_or_after_a_restart_keeps_the_same() {
    let (whole, size) = filled();
    let mut thin = whole.clone();
    thin.thin();
    let mut again =
        SegmentIndex::decode(BASE_OFFSET, &whole.encode_offsets(), &whole.encode_times(), size).unwrap();
    again.thin();
    for _ in 0..2 {
        assert_eq!(again.encode_offsets(), thin.encode_offsets());
        assert_eq!(again.encode_times(), thin.encode_times());
        again.thin();
    }
    let written = SegmentIndex::decode(BASE_OFFSET, &thin.encode_offsets(), &thin.encode_times(), size);
    assert_eq!(written.unwrap().max_timestamp(), whole.max_timestamp());
}
