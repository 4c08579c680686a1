//! Windows on the test driver: what a count in each kind of window costs a record, every update sent.

mod common;
#[path = "common/driver.rs"]
mod driver;

use std::time::Duration;

use driver::{Case, OUTPUT};
use streams_dsl::prelude::*;

/// A key has a record every 10 s on average.
const SIZE: Duration = Duration::from_secs(60);
const ADVANCE: Duration = Duration::from_secs(15);
const DIFFERENCE: Duration = Duration::from_secs(10);
const GAP: Duration = Duration::from_secs(10);

fn main() {
    let case = |name, declare| Case {
        name,
        declare,
        filled: &[],
        inputs: &["in"],
    };
    driver::run(
        "windows",
        &[
            case("tumbling, 60 s", tumbling),
            case("hopping, 60 s every 15 s", hopping),
            case("sliding, 10 s", sliding),
            case("sessions, gap of 10 s", sessions),
        ],
    );
}

fn tumbling(builder: &StreamsBuilder) {
    let windows = TimeWindows::of_size_with_no_grace(SIZE);
    let input = builder.stream::<i64, String>("in").group_by_key();
    let counts = input.windowed_by(windows).count(Materialized::default());
    counts.to_stream().to(OUTPUT);
}

fn hopping(builder: &StreamsBuilder) {
    let windows = TimeWindows::of_size_with_no_grace(SIZE).advance_by(ADVANCE);
    let input = builder.stream::<i64, String>("in").group_by_key();
    let counts = input.windowed_by(windows).count(Materialized::default());
    counts.to_stream().to(OUTPUT);
}

fn sliding(builder: &StreamsBuilder) {
    let windows = SlidingWindows::of_time_difference_with_no_grace(DIFFERENCE);
    let input = builder.stream::<i64, String>("in").group_by_key();
    let counts = input.windowed_by(windows).count(Materialized::default());
    counts.to_stream().to(OUTPUT);
}

fn sessions(builder: &StreamsBuilder) {
    let windows = SessionWindows::of_inactivity_gap_with_no_grace(GAP);
    let input = builder.stream::<i64, String>("in").group_by_key();
    let counts = input.windowed_by(windows).count(Materialized::default());
    counts.to_stream().to(OUTPUT);
}
