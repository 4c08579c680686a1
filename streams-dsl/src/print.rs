//! Printing streams, to look at them. Follows Kafka's `KStream.print` and `Printed`.

use std::fmt::Debug;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use streams_core::processor::{
    BoxError, FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord, ProcessorInit,
};
use streams_core::topology::OperatorSupplier;

use crate::lower::Lower;
use crate::names::prefix;
use crate::plan::KeyEffect;
use crate::{Data, KStream, Terminal};

/// Makes text of a record.
type Format<K, V> = Arc<dyn Fn(&K, &V) -> String + Send + Sync>;

/// Where all tasks of a stream print to.
type SharedWriter = Arc<Mutex<dyn Write + Send>>;

/// How a stream is printed: a line for each record, `[label]: key, value` (Kafka's `Printed`).
///
/// ```
/// use std::io::{BufRead, BufReader};
/// use streams_dsl::prelude::*;
///
/// let (reader, writer) = std::io::pipe().unwrap();
/// let builder = StreamsBuilder::new();
/// let prices = builder.stream::<String, i64>("prices");
/// prices.print(Printed::with(|item: &String, price: &i64| format!("{item} for {price}")).writer(writer).label("sold"));
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input("prices").pipe("tea".to_string(), 3_i64)?;
/// let mut line = String::new();
/// BufReader::new(reader).read_line(&mut line).unwrap();
/// assert_eq!(line, "[sold]: tea for 3\n");
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone)]
pub struct Printed<K, V> {
    format: Format<K, V>,
    writer: SharedWriter,
    label: Option<String>,
}

impl<K: Debug + 'static, V: Debug + 'static> Default for Printed<K, V> {
    fn default() -> Self {
        Self::with(|key, value| format!("{key:?}, {value:?}"))
    }
}

impl<K, V> Printed<K, V> {
    /// With this text for a record, instead of the `Debug` form of key and value.
    ///
    /// ```
    /// use std::io::{BufRead, BufReader};
    /// use streams_dsl::prelude::*;
    ///
    /// let (reader, writer) = std::io::pipe().unwrap();
    /// let builder = StreamsBuilder::new();
    /// let secrets = builder.stream::<String, String>("secrets");
    /// secrets.print(Printed::with(|name: &String, _| format!("{name} has one")).writer(writer).label("secrets"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("secrets").pipe("ada".to_string(), "...".to_string())?;
    /// let mut line = String::new();
    /// BufReader::new(reader).read_line(&mut line).unwrap();
    /// assert_eq!(line, "[secrets]: ada has one\n");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn with(format: impl Fn(&K, &V) -> String + Send + Sync + 'static) -> Self {
        Self {
            format: Arc::new(format),
            writer: Arc::new(Mutex::new(std::io::stdout())),
            label: None,
        }
    }

    /// Writes lines to the file of this path, which is made, or emptied if it is there (Kafka's `Printed.toFile`).
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("in.txt");
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").print(Printed::default().to_file(&path).unwrap().label("in"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(std::fs::read_to_string(path).unwrap(), "[in]: \"a\", 7\n");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn to_file(self, path: impl AsRef<Path>) -> std::io::Result<Self> {
        Ok(self.writer(File::create(path)?))
    }

    /// Sets where lines go, each in one write and flushed. Default: the standard output.
    ///
    /// ```
    /// use std::io::{BufRead, BufReader};
    /// use streams_dsl::prelude::*;
    ///
    /// let (reader, writer) = std::io::pipe().unwrap();
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").print(Printed::default().writer(writer));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// let mut line = String::new();
    /// BufReader::new(reader).read_line(&mut line).unwrap();
    /// assert_eq!(line, "[KSTREAM-SOURCE-0000000000]: \"a\", 7\n");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn writer(mut self, writer: impl Write + Send + 'static) -> Self {
        self.writer = Arc::new(Mutex::new(writer));
        self
    }

    /// Sets what lines begin with. Default: the name of the processor that is printed.
    ///
    /// ```
    /// use std::io::{BufRead, BufReader};
    /// use streams_dsl::prelude::*;
    ///
    /// let (reader, writer) = std::io::pipe().unwrap();
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<i64, i64>("in").print(Printed::default().writer(writer).label("numbers"));
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(1_i64, 7_i64)?;
    /// let mut line = String::new();
    /// BufReader::new(reader).read_line(&mut line).unwrap();
    /// assert_eq!(line, "[numbers]: 1, 7\n");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }
}

impl<K, V> Debug for Printed<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Printed")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

/// Printing.
impl<K: Data, V: Data> KStream<K, V> {
    /// Prints each record: see [`Printed`]. Tasks on several threads print to one writer, line by line. A line that cannot be
    /// written goes to the [processing handler](streams_core::handlers::ErrorHandlers::processing).
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let words = builder.stream::<String, String>("words");
    /// words.print(Printed::default().label("words")).named("look");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Processor: look"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// // [words]: "ada", "hello"
    /// driver.input("words").pipe("ada".to_string(), "hello".to_string())?;
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn print(&self, printed: Printed<K, V>) -> Terminal {
        let Printed {
            format,
            writer,
            label,
        } = printed;
        let label = label.unwrap_or_else(|| self.plan.borrow().node(self.node).name.clone());
        let supplier = move |_: &mut ProcessorInit<'_, '_>| {
            Ok(Printer {
                format: Arc::clone(&format),
                writer: Arc::clone(&writer),
                label: label.clone(),
            })
        };
        let lower = Lower::Operator(OperatorSupplier::fixed_key_processor::<K, V, (), _>(supplier));
        self.terminal(self.then(prefix::PRINTER, KeyEffect::Keeps, lower))
    }
}

struct Printer<K, V> {
    format: Format<K, V>,
    writer: SharedWriter,
    label: String,
}

impl<K: 'static, V: 'static> FixedKeyProcessor<K, V, ()> for Printer<K, V> {
    fn process(
        &mut self,
        record: FixedKeyRecord<K, V>,
        _context: &mut FixedKeyProcessorContext<'_, '_, '_, K, ()>,
    ) -> Result<(), BoxError> {
        let line = format!(
            "[{}]: {}\n",
            self.label,
            (self.format)(record.key(), record.value())
        );
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(line.as_bytes())?;
        writer.flush()?;
        Ok(())
    }
}
