//! Counts the words of a book, exactly once: a typed topology on the embedded broker, its state in RocksDB.
//!
//! Shows `flat_map_values`, `group_by` (through a repartition topic), `count` and what survives: killed at any moment and
//! started again on the same `--data-dir`, it ends with the same table.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod common;

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use common::{Failure, Input, Workspace};
use streams_dsl::prelude::*;

const BUNDLED: &[u8] = include_bytes!("data/kjv.tsv.gz");

/// Counts words, exactly once. A word is a run of ASCII letters; case does not matter.
#[derive(Parser)]
struct Arguments {
    /// Text to count, one record a line; unpacked if it ends in .gz; of .tsv the last column. Default: the King James Bible.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// How many of the most frequent words to print.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Also write all counts, as word<TAB>count sorted by word.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Keeps topics and state, so that a run can be taken up again. Default: a temporary directory.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Count at least once instead of exactly once: words may be counted again after a crash.
    #[arg(long)]
    at_least_once: bool,
}

fn main() -> ExitCode {
    common::main("wordcount", || run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (name, text, tabular) = match &arguments.input {
        Some(path) => (
            path.display().to_string(),
            common::read_file(path)?,
            is_tabular(path),
        ),
        None => ("the bundled text".to_owned(), common::unpack(BUNDLED)?, true),
    };
    let workspace = Workspace::open(arguments.data_dir.as_deref())?;
    workspace.check_input(&name, &text)?;
    workspace.create_topics(&["lines", "word-counts"])?;
    let lines: Vec<Input> = lines_of(&text)
        .map(|line| (None, text_of(line, tabular), 0))
        .collect();
    workspace.load("lines", &lines)?;

    let started = timer();
    let streams = workspace.start(&topology()?, config(arguments))?;
    common::wait_for_the_end(&streams, lines.len() as u64, "lines")?;
    let counted = streams.processed_by(1);
    let seconds = started.elapsed().as_secs_f64();
    streams.close()?;

    let counts = read_counts(&workspace)?;
    let rate = counted as f64 / seconds;
    let mut text = report(&counts, arguments.top);
    writeln!(
        text,
        "{counted} words counted in {seconds:.2} s: {rate:.0} words per second"
    )?;
    common::print(&text)?;
    match &arguments.output {
        Some(path) => write_counts(path, &counts),
        None => Ok(()),
    }
}

fn topology() -> Result<Topology, StreamsError> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, String>("lines")
        .flat_map_values(words)
        .group_by(|_, word| word.clone())
        .count(Materialized::named("counts"))
        .to_stream()
        .to("word-counts");
    builder.build()
}

/// Lines of text; bytes that are not UTF-8 become replacement characters rather than stop the program.
fn lines_of(text: &[u8]) -> impl Iterator<Item = String> + '_ {
    let lines = text
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .filter(|line| !line.is_empty());
    lines.map(|line| String::from_utf8_lossy(line).into_owned())
}

/// Runs of ASCII letters, in lower case.
fn words(line: String) -> Vec<String> {
    let runs = line.split(|letter: char| !letter.is_ascii_alphabetic());
    runs.filter(|run| !run.is_empty())
        .map(str::to_ascii_lowercase)
        .collect()
}

fn config(arguments: &Arguments) -> StreamsConfig {
    let config = StreamsConfig::new("wordcount");
    match arguments.at_least_once {
        true => config
            .processing_guarantee(ProcessingGuarantee::AtLeastOnce)
            .commit_interval_ms(100),
        false => config,
    }
}

/// The last update of each word is its count.
fn read_counts(workspace: &Workspace) -> Result<Vec<(String, i64)>, Failure> {
    let mut counts: HashMap<Vec<u8>, i64> = HashMap::new();
    workspace.read("word-counts", |word, count| {
        let count = count
            .unwrap_or_default()
            .try_into()
            .map_err(|_| "a count is not 8 bytes long")?;
        counts.insert(word.to_vec(), i64::from_be_bytes(count));
        Ok(())
    })?;
    let mut counts: Vec<(String, i64)> = counts
        .into_iter()
        .map(|(word, count)| (String::from_utf8_lossy(&word).into_owned(), count))
        .collect();
    counts.sort();
    Ok(counts)
}

fn report(counts: &[(String, i64)], top: usize) -> String {
    let total: i64 = counts.iter().map(|(_, count)| count).sum();
    let mut by_count: Vec<&(String, i64)> = counts.iter().collect();
    by_count.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let lines = by_count
        .into_iter()
        .take(top)
        .map(|(word, count)| format!("{count:>9}  {word}\n"));
    format!(
        "{total} words, {} distinct\n{}",
        counts.len(),
        lines.collect::<String>()
    )
}

fn write_counts(path: &Path, counts: &[(String, i64)]) -> Result<(), Failure> {
    let mut text = String::new();
    for (word, count) in counts {
        writeln!(text, "{word}\t{count}")?;
    }
    fs::write(path, text).map_err(|error| format!("{}: cannot be written: {error}", path.display()).into())
}

fn is_tabular(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.trim_end_matches(".gz").ends_with(".tsv")
}

fn text_of(line: String, tabular: bool) -> String {
    match line.rsplit_once('\t') {
        Some((_, text)) if tabular => text.to_owned(),
        _ => line,
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "measures the run for the person who started it"
)]
fn timer() -> Instant {
    Instant::now()
}
