//! A user's processor as a node of a task: records and schedules go in, and what fails is decided about.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use super::{BoxError, Place, Processor, ProcessorContext, ProcessorInit, Schedule};
use crate::context::TaskContext;
use crate::edge::{Edge, Process, Shared};
use crate::error::{ProcessCause, ProcessError, ProcessResult, Result};
use crate::handlers::Stage;
use crate::record::Record;
use crate::topology::Wiring;

/// A node that its task enters from outside, when a schedule is due.
pub(crate) trait Punctuate {
    fn punctuate(
        &mut self,
        schedule: Schedule,
        timestamp_ms: i64,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult;
}

/// Makes a user's processor live.
pub(crate) fn live_processor<KI, VI, KO, VO, P>(
    wiring: &mut Wiring<'_>,
    supplier: &dyn Fn(&mut ProcessorInit<'_, '_>) -> Result<P>,
    next: Edge<KO, VO>,
) -> Result<Edge<KI, VI>>
where
    KI: 'static,
    VI: 'static,
    KO: 'static,
    VO: 'static,
    P: Processor<KI, VI, KO, VO>,
{
    let children = wiring.child_names().to_vec();
    let place = Place {
        name: wiring.node_name().to_owned(),
        is_group: children.len() > 1,
        children,
    };
    let mut init = ProcessorInit::new(wiring, None);
    let processor = supplier(&mut init)?;
    let scheduler = init.scheduler;
    let node = ProcessorNode {
        place,
        processor,
        next,
        types: PhantomData,
    };
    let Some(scheduler) = scheduler else {
        return Ok(Box::new(node));
    };
    let node = Rc::new(RefCell::new(node));
    wiring.punctuated(scheduler, Rc::clone(&node) as Rc<RefCell<dyn Punctuate>>);
    Ok(Box::new(Shared(node)))
}

struct ProcessorNode<P, KI, VI, KO, VO> {
    place: Place,
    processor: P,
    next: Edge<KO, VO>,
    types: PhantomData<fn(KI, VI)>,
}

impl<KI, VI, KO, VO, P: Processor<KI, VI, KO, VO>> Process<KI, VI> for ProcessorNode<P, KI, VI, KO, VO> {
    fn process(&mut self, record: Record<KI, VI>, task: &mut TaskContext<'_>) -> ProcessResult {
        let mut context = ProcessorContext::new(&mut self.next, &self.place, task);
        match self.processor.process(record, &mut context) {
            Ok(()) => Ok(()),
            Err(error) => task.processing_failed(error, &self.place.name),
        }
    }
}

impl<KI, VI, KO, VO, P: Processor<KI, VI, KO, VO>> Punctuate for ProcessorNode<P, KI, VI, KO, VO> {
    fn punctuate(
        &mut self,
        schedule: Schedule,
        timestamp_ms: i64,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let mut context = ProcessorContext::new(&mut self.next, &self.place, task);
        match self.processor.punctuate(schedule, timestamp_ms, &mut context) {
            Ok(()) => Ok(()),
            Err(error) => task.processing_failed(error, &self.place.name),
        }
    }
}

impl TaskContext<'_> {
    /// Decides about an error that user code returned in a processor, by the application's processing handler: an error again,
    /// to be returned at once, or nothing if the record is dropped.
    ///
    /// # Errors
    /// If the handler says so, or the error is not about the record: it came from downstream, where it was decided about
    /// already, or from a store or the log.
    #[cold]
    pub fn processing_failed(&mut self, error: BoxError, processor: &str) -> ProcessResult {
        let cause = match error.downcast::<ProcessError>() {
            Ok(placed) => return Err(placed),
            Err(error) => match error.downcast::<ProcessCause>() {
                Ok(cause) => *cause,
                Err(error) => ProcessCause::User(error),
            },
        };
        let error = Box::new(ProcessError {
            cause,
            processor: Some(processor.to_owned()),
            task: Some(self.task_id().to_string()),
            input: self.state.input_position(),
        });
        match &error.cause {
            ProcessCause::Store(_) | ProcessCause::CorruptRow { .. } | ProcessCause::Log(_) => Err(error),
            _ => self.failed(Stage::Processing, error),
        }
    }
}
