//! Stored batches to the seam's record sets: one shared buffer and an index into it, no copy and no allocation per record
//! (but for compressed batches, which only clients over TCP write).

use std::collections::HashSet;

use bytes::Bytes;
use streams_core::log::{RecordSet, RecordSpan, Span};
use streams_core::{Header, Headers};

use crate::log::{
    AbortedTransaction, BatchError, BatchHeader, Batches, Compression, ControlType, RecordView,
};

/// The fewest bytes a record takes: bounds what a damaged count can make us reserve.
const MIN_RECORD_BYTES: usize = 7;

/// What a fetched chunk holds for a consumer.
pub(super) struct Decoded {
    pub(super) records: RecordSet,
    /// Offset after the last batch, whether its records were delivered or not.
    pub(super) next_offset: i64,
}

/// The records at and after `position`, without control records and those of aborted transactions.
pub(super) fn decode(
    records: Bytes,
    position: i64,
    aborted: Vec<AbortedTransaction>,
) -> Result<Decoded, BatchError> {
    let mut filter = AbortFilter::new(aborted);
    let mut set = RecordSet::default();
    let mut next_offset = position;
    let mut scratch = Vec::new();
    // Where decompressed batches are gathered; None as long as the fetched bytes serve.
    let mut gathered: Option<Vec<u8>> = Batches::new(&records)
        .flatten()
        .any(|batch| batch.header().compression() != Compression::None)
        .then(Vec::new);
    let mut start = 0;
    for batch in Batches::new(&records) {
        let batch = batch?;
        // 2 ns a record, against delivering what the disk made of it.
        batch.check_crc()?;
        let header = *batch.header();
        let batch_start = start;
        start += header.size_bytes();
        next_offset = next_offset.max(header.next_offset());
        filter.reached(header.last_offset());
        if header.is_control() {
            let mut control = batch.records(&mut scratch)?;
            let key = control.next().transpose()?.and_then(|record| record.key);
            if key.and_then(ControlType::from_key) == Some(ControlType::Abort) {
                filter.ended(header.producer_id);
            }
            continue;
        }
        if filter.hides(&header) {
            continue;
        }
        let record_count = usize::try_from(header.record_count).unwrap_or(0);
        set.spans
            .reserve(record_count.min(records.len() / MIN_RECORD_BYTES));
        let iterator = batch.records(&mut scratch)?;
        let base = match &mut gathered {
            None => batch_start,
            Some(data) => {
                let base = data.len();
                data.extend_from_slice(iterator.buffer());
                base
            }
        };
        for record in iterator {
            let record = record?;
            if record.offset >= position {
                push(&mut set, &record, base)?;
            }
        }
    }
    set.data = gathered.map_or(records, Bytes::from);
    Ok(Decoded {
        records: set,
        next_offset,
    })
}

#[inline]
fn push(set: &mut RecordSet, record: &RecordView<'_>, base: usize) -> Result<(), BatchError> {
    let span = |range: Option<std::ops::Range<usize>>| {
        range.map_or(Span::NULL, |range| Span::new(base + range.start, range.len()))
    };
    if !record.headers().is_empty() {
        let index = u32::try_from(set.spans.len()).expect("a fetch holds fewer than 2^32 records");
        set.headers.insert(index, headers(record)?);
    }
    set.spans.push(RecordSpan {
        offset: record.offset,
        timestamp_ms: record.timestamp,
        key: span(record.key_range()),
        value: span(record.value_range()),
    });
    Ok(())
}

fn headers(record: &RecordView<'_>) -> Result<Headers, BatchError> {
    let mut headers = Vec::new();
    for header in record.headers() {
        let (key, value) = header?;
        headers.push(Header {
            key: key.into(),
            value: value.map(Bytes::copy_from_slice),
        });
    }
    Ok(Headers::new(headers))
}

/// Which producers' records are void at the current place of the log.
struct AbortFilter {
    /// By first offset, the next one last.
    to_come: Vec<AbortedTransaction>,
    open: HashSet<i64>,
}

impl AbortFilter {
    fn new(mut aborted: Vec<AbortedTransaction>) -> Self {
        aborted.sort_unstable_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        Self {
            to_come: aborted,
            open: HashSet::new(),
        }
    }

    /// Opens the aborted transactions that begin up to `last_offset`. To be called for every batch, markers too: the first
    /// one fetched may be the marker of a transaction whose records came before.
    fn reached(&mut self, last_offset: i64) {
        while let Some(next) = self.to_come.pop_if(|next| next.first_offset <= last_offset) {
            self.open.insert(next.producer_id);
        }
    }

    fn hides(&self, header: &BatchHeader) -> bool {
        header.is_transactional() && self.open.contains(&header.producer_id)
    }

    fn ended(&mut self, producer_id: i64) {
        self.open.remove(&producer_id);
    }
}
