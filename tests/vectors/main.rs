//! What Kafka Streams itself does, against what we do: recorded topologies, inputs and outputs.
//!
//! `VECTORS=DIR[:DIR...] cargo test --release -p tests --test vectors -- --nocapture` reads every `.json` file under the
//! given folders, builds its topology through the public typed DSL, pipes its input through the test driver and compares on
//! three levels: outputs, the text of `describe`, and every byte of internal topics. Without `VECTORS`, those that lie
//! beside this file. A topology with an operator that we do not have is counted as unsupported.
#![allow(clippy::print_stdout, reason = "the report is what this test is run for")]

mod functions;
mod interpreter;
mod run;
mod vector;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use run::Outcome;
use vector::Vector;

const LEVELS: [&str; 3] = ["outputs", "describe", "internal topics"];

#[test]
fn agree_with_kafka_streams() {
    let mut report = Report::default();
    for path in files() {
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let vector = Vector::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        report.add(&vector.name, &run::run(&vector));
    }
    report.print();
    assert_eq!(report.failed.iter().sum::<usize>(), 0, "see the report above");
    assert!(report.passed[0] > 0, "no vector was run");
}

/// All vectors, in the order of their paths.
fn files() -> Vec<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/cases");
    let folders = std::env::var("VECTORS").unwrap_or_else(|_| beside.to_owned());
    let mut found = Vec::new();
    for folder in folders.split(':').filter(|folder| !folder.is_empty()) {
        collect(Path::new(folder), &mut found);
    }
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
}

#[derive(Default)]
struct Report {
    passed: [usize; LEVELS.len()],
    failed: [usize; LEVELS.len()],
    unsupported: BTreeMap<String, usize>,
}

impl Report {
    fn add(&mut self, name: &str, outcome: &Outcome) {
        let differences = match outcome {
            Outcome::Unsupported(what) => {
                *self.unsupported.entry(what.clone()).or_default() += 1;
                return;
            }
            Outcome::Compared(differences) => differences,
        };
        for (level, difference) in differences.iter().enumerate() {
            match difference {
                None => self.passed[level] += 1,
                Some(difference) => {
                    self.failed[level] += 1;
                    println!("{name}: {}: {difference}", LEVELS[level]);
                }
            }
        }
    }

    fn print(&self) {
        for (what, count) in &self.unsupported {
            println!("unsupported: {count} with {what}");
        }
        for (level, name) in LEVELS.iter().enumerate() {
            println!(
                "{name}: {} passed, {} failed",
                self.passed[level], self.failed[level]
            );
        }
        println!("unsupported: {}", self.unsupported.values().sum::<usize>());
    }
}
