//! What only some windows, and some buffers, can do.
use std::time::Duration;

use streams_dsl::prelude::*;

/// Without windows nothing closes.
fn until_close_without_windows(builder: &StreamsBuilder) {
    let table = builder.table::<String, i64>("in", Materialized::default());
    let _ = table.suppress(Suppressed::until_window_closes(BufferConfig::unbounded()));
}

/// Final results cannot go early.
fn final_results_from_a_buffer_that_emits_early() {
    let _ = Suppressed::<Windowed<String>>::until_window_closes(BufferConfig::max_records(9));
}

/// Several streams have no final results, as in Kafka.
fn final_results_of_several_streams(builder: &StreamsBuilder) {
    let clicks = builder.stream::<String, i64>("clicks").group_by_key();
    let seconds = TimeWindows::of_size_with_no_grace(Duration::from_secs(1));
    let _ = clicks
        .cogroup(|_, n, sum: i64| sum + n)
        .windowed_by(seconds)
        .emit_on_window_close();
}

/// Windows are those that there are.
fn windows_of_ones_own(builder: &StreamsBuilder) {
    struct Weeks;
    let _ = builder
        .stream::<String, i64>("clicks")
        .group_by_key()
        .windowed_by(Weeks);
}

fn main() {}
