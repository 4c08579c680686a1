//! When processors are called without a record: schedules, which a processor makes and cancels at any time.
//!
//! A node has one list of schedules, which its processor and its task share. Only nodes that asked for it have one: the task
//! must be able to enter them from outside.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Which time a schedule follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PunctuationType {
    /// Event time: due by records that are processed, first at once. Stands still without input.
    StreamTime,
    /// The clock: due by itself, first after one interval.
    WallClockTime,
}

/// Makes schedules for one processor, from wherever it is: while it is made, for a record, or when another schedule is due
/// (Kafka's `ProcessorContext.schedule`). Taken from [`ProcessorInit::scheduler`](super::ProcessorInit::scheduler); a cheap
/// handle.
///
/// ```
/// use std::time::Duration;
/// use streams_core::Record;
/// use streams_core::processor::{BoxError, Processor, ProcessorContext, PunctuationType, Schedule, Scheduler};
/// use streams_core::testing::TopologyTestDriver;
/// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
///
/// /// Passes on how many records came within a minute of the first one.
/// struct FirstMinute {
///     scheduler: Scheduler,
///     count: i64,
///     end: Option<Schedule>,
/// }
///
/// impl Processor<String, i64, String, i64> for FirstMinute {
///     fn process(
///         &mut self,
///         _: Record<String, i64>,
///         _: &mut ProcessorContext<'_, '_, String, i64>,
///     ) -> Result<(), BoxError> {
///         self.count += 1;
///         let every = Duration::from_secs(60);
///         self.end.get_or_insert_with(|| self.scheduler.schedule(every, PunctuationType::WallClockTime));
///         Ok(())
///     }
///
///     fn punctuate(
///         &mut self,
///         minute: Schedule,
///         timestamp_ms: i64,
///         context: &mut ProcessorContext<'_, '_, String, i64>,
///     ) -> Result<(), BoxError> {
///         minute.cancel();
///         context.forward(Record::new("records".to_string(), self.count, timestamp_ms))
///     }
/// }
///
/// let mut builder = TopologyBuilder::new();
/// let input = builder.add_source::<String, i64>("in", [TopicName::external("in")], SourceOptions::default());
/// let counted = builder.add_processor("count", &[input], &[], |init| {
///     Ok(FirstMinute { scheduler: init.scheduler(), count: 0, end: None })
/// });
/// builder.add_sink("out", TopicName::external("out"), &[counted], SinkOptions::default());
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input("in").pipe_key_values([7_i64, 8, 9].map(|n| ("a".to_string(), n)))?;
/// for _ in 0..3 {
///     driver.advance_wall_clock(Duration::from_secs(60))?;
/// }
/// assert_eq!(driver.output::<String, i64>("out").read_values(), [3]);
/// # Ok::<(), streams_core::error::StreamsError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Scheduler(Rc<RefCell<Schedules>>);

#[derive(Debug, Default)]
struct Schedules {
    /// Those that are not cancelled, in the order they were made.
    entries: Vec<Entry>,
    made: u64,
    /// As of the last time the task looked, if it did.
    wall_clock_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u64,
    every: Duration,
    kind: PunctuationType,
    /// When it is due; set when it is first looked at if the clock was not known before.
    next_ms: Option<i64>,
}

impl Scheduler {
    /// Has [`Processor::punctuate`](super::Processor::punctuate) called at this interval, of at least a millisecond and in whole
    /// ones, until it is [cancelled](Schedule::cancel). By stream time first at once, after the record that is being processed or
    /// else the next one; by wall-clock time first after one interval. What is not cancelled stays: a processor that makes one
    /// for each record must end them too.
    pub fn schedule(&self, every: Duration, kind: PunctuationType) -> Schedule {
        let mut schedules = self.0.borrow_mut();
        let number = schedules.made;
        schedules.made += 1;
        let every = every.max(Duration::from_millis(1));
        let next_ms = match kind {
            PunctuationType::StreamTime => Some(0),
            PunctuationType::WallClockTime => {
                let now_ms = schedules.wall_clock_ms;
                now_ms.map(|now_ms| now_ms.saturating_add(whole_ms(every)))
            }
        };
        schedules.entries.push(Entry {
            number,
            every,
            kind,
            next_ms,
        });
        Schedule {
            number,
            every,
            kind,
            scheduler: self.clone(),
        }
    }

    pub(crate) fn set_wall_clock_ms(&self, now_ms: i64) {
        self.0.borrow_mut().wall_clock_ms = Some(now_ms);
    }

    /// Those of this kind that are due, each set to its next time. Some may cancel others before those are called.
    pub(crate) fn take_due(&self, kind: PunctuationType, now_ms: i64) -> Vec<Schedule> {
        let mut schedules = self.0.borrow_mut();
        let of_kind = schedules.entries.iter_mut().filter(|entry| entry.kind == kind);
        of_kind
            .filter_map(|entry| entry.due(now_ms).then(|| self.handle(entry)))
            .collect()
    }

    /// When the next wall-clock schedule is due.
    pub(crate) fn next_wall_clock_ms(&self) -> Option<i64> {
        let schedules = self.0.borrow();
        let wall_clock = schedules.entries.iter().filter(|entry| entry.is_wall_clock());
        wall_clock.filter_map(|entry| entry.next_ms).min()
    }

    /// All that are not cancelled, in the order they were made.
    pub(crate) fn active(&self) -> Vec<Schedule> {
        let schedules = self.0.borrow();
        schedules.entries.iter().map(|entry| self.handle(entry)).collect()
    }

    fn handle(&self, entry: &Entry) -> Schedule {
        Schedule {
            number: entry.number,
            every: entry.every,
            kind: entry.kind,
            scheduler: self.clone(),
        }
    }
}

impl Entry {
    fn is_wall_clock(&self) -> bool {
        self.kind == PunctuationType::WallClockTime
    }

    /// True if it is due, and then set to its next time. Missed intervals are skipped; times stay multiples of the interval
    /// from the start.
    fn due(&mut self, now_ms: i64) -> bool {
        let every_ms = whole_ms(self.every);
        let next_ms = *self.next_ms.get_or_insert(now_ms.saturating_add(every_ms));
        if now_ms < next_ms {
            return false;
        }
        let missed = now_ms.saturating_sub(next_ms) / every_ms;
        self.next_ms = Some(next_ms.saturating_add(missed.saturating_add(1).saturating_mul(every_ms)));
        true
    }
}

fn whole_ms(every: Duration) -> i64 {
    i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1)
}

/// One schedule of a processor (Kafka's `Cancellable`). A cheap handle: clones are the same schedule, and equal.
#[derive(Clone)]
pub struct Schedule {
    number: u64,
    every: Duration,
    kind: PunctuationType,
    scheduler: Scheduler,
}

impl Schedule {
    /// Ends it: it is not called any more, even if it is due already. Does nothing if it has ended.
    pub fn cancel(&self) {
        let mut schedules = self.scheduler.0.borrow_mut();
        schedules.entries.retain(|entry| entry.number != self.number);
    }

    /// True if it has ended.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let schedules = self.scheduler.0.borrow();
        !schedules.entries.iter().any(|entry| entry.number == self.number)
    }

    /// The interval.
    #[must_use]
    pub fn every(&self) -> Duration {
        self.every
    }

    /// Which time it follows.
    #[must_use]
    pub fn kind(&self) -> PunctuationType {
        self.kind
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number && Rc::ptr_eq(&self.scheduler.0, &other.scheduler.0)
    }
}

impl Eq for Schedule {}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Schedule")
            .field("number", &self.number)
            .field("every", &self.every)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
