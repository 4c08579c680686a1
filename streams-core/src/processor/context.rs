//! `ProcessorContext`: what a processor can do while it works.

use super::BoxError;
use crate::context::TaskContext;
use crate::edge::Edge;
use crate::record::Record;

/// What a processor is called, and those that come after it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) name: String,
    /// In the order they were added.
    pub(crate) children: Vec<String>,
    /// True if what comes next is a group, of one edge for each child.
    pub(crate) is_group: bool,
}

impl Place {
    #[cold]
    fn negative_timestamp(&self, timestamp_ms: i64) -> BoxError {
        let name = &self.name;
        format!("processor {name} forwards a record with the timestamp {timestamp_ms}: event times are not negative").into()
    }

    #[cold]
    fn no_child(&self, child: &str) -> BoxError {
        let (name, children) = (&self.name, self.children.join(", "));
        format!("processor {name} has no child {child} to forward to, only: {children}").into()
    }
}

/// What a processor can do while it works (Kafka's `ProcessorContext`).
pub struct ProcessorContext<'a, 'b, KO, VO> {
    next: &'a mut Edge<KO, VO>,
    place: &'a Place,
    task: &'a mut TaskContext<'b>,
}

impl<'a, 'b, KO, VO> ProcessorContext<'a, 'b, KO, VO> {
    pub(crate) fn new(next: &'a mut Edge<KO, VO>, place: &'a Place, task: &'a mut TaskContext<'b>) -> Self {
        Self { next, place, task }
    }

    /// Passes a record on, and returns when all downstream work on it is done.
    ///
    /// # Errors
    /// If the record's timestamp is negative, or something downstream failed. Return it: the thread stops.
    pub fn forward(&mut self, record: Record<KO, VO>) -> Result<(), BoxError> {
        if record.timestamp_ms < 0 {
            return Err(self.place.negative_timestamp(record.timestamp_ms));
        }
        self.next
            .process(record, self.task)
            .map_err(|error| error as BoxError)
    }

    /// Passes a record on to one of the processors and sinks that come next, by its name in the topology, and returns when
    /// all downstream work on it is done. The others do not see it.
    ///
    /// ```
    /// use streams_core::Record;
    /// use streams_core::processor::{BoxError, Processor, ProcessorContext};
    /// use streams_core::testing::TopologyTestDriver;
    /// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
    ///
    /// struct Sort;
    /// impl Processor<String, i64, String, i64> for Sort {
    ///     fn process(
    ///         &mut self,
    ///         record: Record<String, i64>,
    ///         context: &mut ProcessorContext<'_, '_, String, i64>,
    ///     ) -> Result<(), BoxError> {
    ///         let child = if record.value < 0 { "debts" } else { "credits" };
    ///         context.forward_to(child, record)
    ///     }
    /// }
    ///
    /// let mut builder = TopologyBuilder::new();
    /// let input = builder.add_source::<String, i64>("in", [TopicName::external("in")], SourceOptions::default());
    /// let sorted = builder.add_processor::<_, _, String, i64, _>("sort", &[input], &[], |_| Ok(Sort));
    /// for sink in ["credits", "debts"] {
    ///     builder.add_sink(sink, TopicName::external(sink), &[sorted], SinkOptions::default());
    /// }
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe_key_values([("a".to_string(), 7_i64), ("b".to_string(), -7)])?;
    /// assert_eq!(driver.output::<String, i64>("credits").read_values(), [7]);
    /// assert_eq!(driver.output::<String, i64>("debts").read_values(), [-7]);
    /// # Ok::<(), streams_core::error::StreamsError>(())
    /// ```
    ///
    /// # Errors
    /// If the record's timestamp is negative, nothing of that name comes next, or something downstream failed. Return it: the
    /// thread stops.
    pub fn forward_to(&mut self, child: &str, record: Record<KO, VO>) -> Result<(), BoxError> {
        if record.timestamp_ms < 0 {
            return Err(self.place.negative_timestamp(record.timestamp_ms));
        }
        let Some(index) = self.place.children.iter().position(|name| name == child) else {
            return Err(self.place.no_child(child));
        };
        let processed = match self.place.is_group {
            false => self.next.process(record, self.task),
            true => match self.next.member(index) {
                Some(edge) => edge.process(record, self.task),
                None => return Err(self.place.no_child(child)),
            },
        };
        processed.map_err(|error| error as BoxError)
    }

    /// Time, task, position of the record, and requests to the task.
    pub fn task(&mut self) -> &mut TaskContext<'b> {
        self.task
    }
}

impl<KO, VO> std::fmt::Debug for ProcessorContext<'_, '_, KO, VO> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessorContext")
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}
