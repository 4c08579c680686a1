//! Random topologies and inputs: what the typed DSL makes of them, against a naive model.
//!
//! `cargo test --release -p tests --test property` runs a number of seeds that takes a few seconds, each a topology and an
//! input; `PROPERTY_SEEDS=N` runs N, and `PROPERTY_FIRST_SEED=M` begins with another one. What comes out of every operator
//! is compared, in order, with timestamps, and with the input that it came out on. A case that fails is made as small as
//! can be, and printed.
//!
//! `algebra` (topologies as data), `generate`, `build` (through the DSL), `model` (the same from the definitions), `shrink`.
//! Not here, since recorded results of Kafka Streams cover them: foreign-key joins, cogroups, global and versioned tables,
//! results when windows close, optimized topologies.
#![allow(clippy::print_stdout, reason = "what was run is what this test is run for")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod algebra;
mod build;
mod functions;
mod generate;
mod model;
mod shrink;

use std::fmt::Write;
use std::mem::discriminant;
use std::panic::{AssertUnwindSafe, catch_unwind};

use algebra::Case;
use build::Row;

const SEEDS: u64 = 20_000;

#[test]
fn topologies_do_what_the_definitions_say() {
    let setting = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|number| number.parse::<u64>().unwrap())
    };
    let first = setting("PROPERTY_FIRST_SEED").unwrap_or(1);
    let count = setting("PROPERTY_SEEDS").unwrap_or(SEEDS);
    let (mut compared, mut too_much, mut records_in, mut records_out) = (0, 0, 0, 0);
    for seed in first..first + count {
        let case = generate::case(seed);
        match compare(&case) {
            Outcome::Same { rows } => {
                compared += 1;
                records_in += case.input.len();
                records_out += rows;
            }
            Outcome::TooMuch => too_much += 1,
            Outcome::Different(_) | Outcome::Failed(_) => panic!("{}", report(seed, case)),
        }
    }
    println!(
        "{compared} topologies, {records_in} records in, {records_out} records out; left out as too much: {too_much}"
    );
    assert!(compared > too_much, "most topologies must be small enough");
}

enum Outcome {
    Same {
        rows: usize,
    },
    TooMuch,
    /// Where, in words.
    Different(String),
    /// It could not be built, or stopped.
    Failed(String),
}

fn compare(case: &Case) -> Outcome {
    let Some(expected) = model::expected(case) else {
        return Outcome::TooMuch;
    };
    let found = catch_unwind(AssertUnwindSafe(|| build::run(case)));
    match found {
        Ok(Ok(found)) if found == expected => Outcome::Same {
            rows: found.iter().map(Vec::len).sum(),
        },
        Ok(Ok(found)) => Outcome::Different(differences(&expected, &found)),
        Ok(Err(error)) => Outcome::Failed(format!("the topology failed: {error}")),
        Err(_) => Outcome::Failed("the topology panicked".to_owned()),
    }
}

fn report(seed: u64, case: Case) -> String {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let kind = discriminant(&compare(&case));
    let smallest = shrink::shrink(case, |case| discriminant(&compare(case)) == kind);
    std::panic::set_hook(hook);
    match compare(&smallest) {
        Outcome::Different(how) | Outcome::Failed(how) => {
            format!("seed {seed}, made smaller\n{smallest}{how}")
        }
        _ => format!("seed {seed}: differs only sometimes\n{smallest}"),
    }
}

/// Both outputs of each operator where they differ.
fn differences(expected: &[Vec<Row>], found: &[Vec<Row>]) -> String {
    let mut text = String::new();
    for (id, (expected, found)) in expected.iter().zip(found).enumerate() {
        if expected == found {
            continue;
        }
        for (who, rows) in [("expected", expected), ("found", found)] {
            writeln!(text, "{who} of operator {id}:").unwrap();
            for (input, key, value, at_ms) in rows {
                writeln!(text, "  on input {input}: {key:?} {value:?} at {at_ms}").unwrap();
            }
        }
    }
    text
}
