//! What compaction leaves, batch by batch: the latest value of each key, markers, the last batch of a producer.

use std::fmt::Write as _;
use std::time::Duration;

use broker::log::Batches;

use super::*;

/// Segments are sealed by the time between records.
const SEGMENT_MS: i64 = 1_000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// Compaction has happened when nothing has changed for so many looks.
const STILL_LOOKS: u32 = 30;
const MOST_LOOKS: u32 = 200;

pub(super) fn run(client: &mut Client) {
    let configs = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "1000"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    client.ask(4, &create("keyed", 1, &configs));
    let mut time_ms = 1_000;
    let mut step =
        |client: &mut Client, records: &[(&str, Option<&str>)], stamp: ProducerStamp, id: Option<&str>| {
            let mut builder = BatchBuilder::new();
            for (key, value) in records {
                builder
                    .append(time_ms, Some(key.as_bytes()), value.map(str::as_bytes), &[])
                    .unwrap();
            }
            time_ms += 2 * SEGMENT_MS;
            let request =
                produce("keyed", builder.finish(stamp)).with_transactional_id(id.map(transactional));
            let answer = client.ask(9, &request);
            assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
        };
    let plain = ProducerStamp::NONE;
    step(
        client,
        &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))],
        plain,
        None,
    );
    step(
        client,
        &[("a", Some("2")), ("a", Some("3")), ("gone", Some("1"))],
        plain,
        None,
    );
    step(client, &[("gone", None), ("b", Some("2"))], plain, None);
    let idempotent = client.ask(4, &init(None));
    step(client, &[("i", Some("1"))], stamp(&idempotent, 0, false), None);
    step(client, &[("i", Some("2"))], stamp(&idempotent, 1, false), None);
    let producer = init_patiently(client, "init for compaction", "compacting");
    for (sequence, committed) in [(0, true), (1, false), (2, true)] {
        client.ask(3, &add_partitions("compacting", &producer, "keyed"));
        let value = sequence.to_string();
        let records = [("t", Some(value.as_str())), ("a", (!committed).then_some("void"))];
        let kept = if committed { &records[..1] } else { &records[..] };
        let id = Some("compacting");
        // One record of each key and transaction, so that sequences go up by as many.
        let base = if sequence == 2 { 3 } else { sequence };
        step(client, kept, stamp(&producer, base, true), id);
        client.ask(3, &end("compacting", &producer, committed));
        settle();
    }
    step(client, &[("i", Some("3"))], plain, None);
    step(client, &[("z", Some("active"))], plain, None);
    let left = when_still(client);
    for line in left.lines() {
        client.note("compacted", line);
    }
    client.call("fetch committed after compaction", 12, fetch("keyed", 0, 1));
    client.call(
        "list the earliest after compaction",
        7,
        list_offsets("keyed", EARLIEST, 0),
    );
}

/// All batches, as soon as they do not change any more.
fn when_still(client: &mut Client) -> String {
    let (mut seen, mut still) = (batches(client), 0);
    for _ in 0..MOST_LOOKS {
        std::thread::sleep(BETWEEN_LOOKS);
        let now = batches(client);
        still = if now == seen { still + 1 } else { 0 };
        seen = now;
        if still == STILL_LOOKS {
            break;
        }
    }
    seen
}

fn batches(client: &mut Client) -> String {
    let (mut offset, mut lines, mut scratch) = (0, String::new(), Vec::new());
    loop {
        let answer = client.ask(12, &fetch("keyed", offset, 0));
        let partition = &answer.responses[0].partitions[0];
        let records = partition.records.clone().unwrap_or_default();
        for batch in Batches::new(&records) {
            let Ok(batch) = batch else { break };
            let header = *batch.header();
            if header.next_offset() <= offset {
                continue;
            }
            offset = header.next_offset();
            write!(
                lines,
                "{}..{} sequence {} control {} transactional {}:",
                header.base_offset,
                header.last_offset(),
                header.base_sequence,
                header.is_control(),
                header.is_transactional()
            )
            .unwrap();
            for record in batch.records(&mut scratch).unwrap() {
                let record = record.unwrap();
                let shown = |bytes: Option<&[u8]>| {
                    bytes.map_or("null".to_owned(), |bytes| bytes.escape_ascii().to_string())
                };
                write!(
                    lines,
                    " {} {}={}",
                    record.offset,
                    shown(record.key),
                    shown(record.value)
                )
                .unwrap();
            }
            lines.push('\n');
        }
        if offset >= partition.high_watermark || records.is_empty() {
            return lines;
        }
    }
}
