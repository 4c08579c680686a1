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
    /// Where its times are counted from, if that was said.
    anchor_ms: Option<i64>,
    /// When it is due; set when it is first looked at if the time was not known before.
    next_ms: Option<i64>,
}

impl Scheduler {
    /// Has [`Processor::punctuate`](super::Processor::punctuate) called at this interval, of at least a millisecond and in whole
    /// ones, until it is [cancelled](Schedule::cancel). By stream time first at once, after the record that is being processed or
    /// else the next one; by wall-clock time first after one interval. What is not cancelled stays: a processor that makes one
    /// for each record must end them too.
    pub fn schedule(&self, every: Duration, kind: PunctuationType) -> Schedule {
        self.add(None, every, kind)
    }

    /// As [`schedule`](Self::schedule), at `start_ms` and whole intervals after it, in milliseconds since the Unix epoch: at every
    /// full hour, say, by the clock that `kind` says (KIP-1146). What of that has passed already is not made up for: it is first
    /// due at the next of these times.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_core::Record;
    /// use streams_core::processor::{BoxError, Processor, ProcessorContext, PunctuationType, Schedule};
    /// use streams_core::testing::{TestDriverOptions, TopologyTestDriver};
    /// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
    ///
    /// struct Chime;
    ///
    /// impl Processor<String, i64, String, i64> for Chime {
    ///     fn process(
    ///         &mut self,
    ///         _: Record<String, i64>,
    ///         _: &mut ProcessorContext<'_, '_, String, i64>,
    ///     ) -> Result<(), BoxError> {
    ///         Ok(())
    ///     }
    ///
    ///     fn punctuate(
    ///         &mut self,
    ///         _: Schedule,
    ///         timestamp_ms: i64,
    ///         context: &mut ProcessorContext<'_, '_, String, i64>,
    ///     ) -> Result<(), BoxError> {
    ///         context.forward(Record::new("hour".to_string(), timestamp_ms / 3_600_000, timestamp_ms))
    ///     }
    /// }
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let input = builder.add_source::<String, i64>("in", [TopicName::external("in")], SourceOptions::default());
    /// let hours = builder.add_processor("chime", &[input], &[], |init| {
    ///     init.scheduler().schedule_at(0, Duration::from_secs(3_600), PunctuationType::WallClockTime);
    ///     Ok(Chime)
    /// });
    /// builder.add_sink("out", TopicName::external("out"), &[hours], SinkOptions::default());
    /// let half_past_seven = TestDriverOptions::default().wall_clock_ms(7 * 3_600_000 + 1_800_000);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, half_past_seven)?;
    /// for _ in 0..3 {
    ///     driver.advance_wall_clock(Duration::from_secs(1_800))?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("out").read_values(), [8, 9]);
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    pub fn schedule_at(&self, start_ms: i64, every: Duration, kind: PunctuationType) -> Schedule {
        self.add(Some(start_ms), every, kind)
    }

    fn add(&self, anchor_ms: Option<i64>, every: Duration, kind: PunctuationType) -> Schedule {
        let mut schedules = self.0.borrow_mut();
        let number = schedules.made;
        schedules.made += 1;
        let mut entry = Entry {
            number,
            every: every.max(Duration::from_millis(1)),
            kind,
            anchor_ms,
            next_ms: None,
        };
        match kind {
            PunctuationType::StreamTime if anchor_ms.is_none() => entry.next_ms = Some(0),
            PunctuationType::WallClockTime => {
                entry.next_ms = schedules.wall_clock_ms.map(|now_ms| entry.first_ms(now_ms));
            }
            PunctuationType::StreamTime => {}
        }
        schedules.entries.push(entry);
        self.handle(&entry)
    }

    pub(crate) fn set_wall_clock_ms(&self, now_ms: i64) {
        self.0.borrow_mut().wall_clock_ms = Some(now_ms);
    }

    /// Says what stream time is when the task begins: -1 if it has never processed anything.
    pub(crate) fn begin(&self, stream_time_ms: i64) {
        for entry in &mut self.0.borrow_mut().entries {
            if !entry.is_wall_clock() && entry.next_ms.is_none() {
                entry.next_ms = Some(entry.first_ms(stream_time_ms));
            }
        }
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

    /// When it is first due, as of now.
    fn first_ms(&self, now_ms: i64) -> i64 {
        match self.anchor_ms {
            None => now_ms.saturating_add(whole_ms(self.every)),
            Some(anchor_ms) if anchor_ms < now_ms => self.after_ms(anchor_ms, now_ms),
            Some(anchor_ms) => anchor_ms,
        }
    }

    /// The first time after now that is whole intervals after `time_ms`, which is not after now.
    fn after_ms(&self, time_ms: i64, now_ms: i64) -> i64 {
        let every_ms = whole_ms(self.every);
        let missed = now_ms.saturating_sub(time_ms) / every_ms;
        time_ms.saturating_add(missed.saturating_add(1).saturating_mul(every_ms))
    }

    /// True if it is due, and then set to its next time. Missed intervals are skipped; times stay multiples of the interval
    /// from the start.
    fn due(&mut self, now_ms: i64) -> bool {
        let first_ms = self.first_ms(now_ms);
        let next_ms = *self.next_ms.get_or_insert(first_ms);
        if now_ms < next_ms {
            return false;
        }
        self.next_ms = Some(self.after_ms(next_ms, now_ms));
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
