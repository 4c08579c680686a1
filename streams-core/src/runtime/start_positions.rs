//! Where the partitions of a task are read from: what was committed or, where that is of no use, what the source says.

use super::Shared;
use crate::error::{Result, StreamsError};
use crate::log::{Admin, Isolation, OffsetSpec, TopicPartition};
use crate::task::StartPosition;
use crate::topology::AutoOffsetReset;

/// One a partition, in their order.
pub(super) fn start_positions(
    shared: &Shared,
    partitions: &[TopicPartition],
    admin: &mut dyn Admin,
) -> Result<Vec<(TopicPartition, StartPosition)>> {
    let committed = admin.committed_offsets(&shared.config.application_id, partitions)?;
    // Committed offsets may lie beyond what can be read now, if a transaction is open before them.
    let log_starts = admin.offsets(partitions, OffsetSpec::Earliest, Isolation::ReadUncommitted)?;
    let log_ends = admin.offsets(partitions, OffsetSpec::Latest, Isolation::ReadUncommitted)?;
    let mut positions = Vec::with_capacity(partitions.len());
    for (((partition, committed), log_start), log_end) in
        partitions.iter().zip(committed).zip(log_starts).zip(log_ends)
    {
        let position = match committed {
            Some(committed) if (log_start..=log_end).contains(&committed.offset) => {
                StartPosition::committed(&committed)
            }
            Some(committed) => {
                let lost = Some(committed.offset);
                let offset = reset_position(shared, partition, lost, admin)?;
                StartPosition {
                    times: StartPosition::committed(&committed).times,
                    ..StartPosition::new_at(offset)
                }
            }
            None => match policy(shared, partition) {
                AutoOffsetReset::Earliest => StartPosition::at(log_start),
                _ => StartPosition::new_at(reset_position(shared, partition, None, admin)?),
            },
        };
        positions.push((partition.clone(), position));
    }
    Ok(positions)
}

/// Where to go on, or begin, on a partition without a usable offset. `lost` is the one that is no longer in the log.
pub(super) fn reset_position(
    shared: &Shared,
    partition: &TopicPartition,
    lost: Option<i64>,
    admin: &mut dyn Admin,
) -> Result<i64> {
    let policy = policy(shared, partition);
    let which = match policy {
        AutoOffsetReset::Earliest => OffsetSpec::Earliest,
        AutoOffsetReset::Latest => OffsetSpec::Latest,
        AutoOffsetReset::ByDuration(ago) => {
            let ago_ms = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
            OffsetSpec::AtTimestamp(shared.config.clock.now_ms().saturating_sub(ago_ms).max(0))
        }
        AutoOffsetReset::None => return Err(nowhere_to_begin(partition, lost)),
    };
    let of = std::slice::from_ref(partition);
    let offset = admin.offsets(of, which, shared.config.isolation())?[0];
    match lost {
        Some(lost) => tracing::warn!(
            %partition, lost, offset, %policy,
            "the records at the position are no longer on the topic; going on elsewhere"
        ),
        None => tracing::info!(%partition, offset, %policy, "no committed offset; beginning here"),
    }
    Ok(offset)
}

/// What is on a topic of the application's own is all for it, so that is read from the first record.
fn policy(shared: &Shared, partition: &TopicPartition) -> AutoOffsetReset {
    let default = shared.config.auto_offset_reset;
    let application_id = &shared.config.application_id;
    let policy = shared
        .topology
        .offset_reset(&partition.topic, application_id, default);
    policy.unwrap_or(AutoOffsetReset::Earliest)
}

fn nowhere_to_begin(partition: &TopicPartition, lost: Option<i64>) -> StreamsError {
    let why = match lost {
        Some(lost) => format!("offset {lost} of {partition} is no longer on the topic"),
        None => format!("{partition} has no committed offset"),
    };
    StreamsError::Config(format!(
        "{why}, and auto_offset_reset is none: commit an offset for group members to begin at, or set auto_offset_reset of the \
         source or the application"
    ))
}
