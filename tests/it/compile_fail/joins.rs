//! Joins of what does not fit together.
use std::time::Duration;

use streams_dsl::prelude::*;

/// Two streams have keys of one type.
fn streams_of_unlike_keys(builder: &StreamsBuilder) {
    let views = builder.stream::<String, i64>("views");
    let clicks = builder.stream::<i64, i64>("clicks");
    let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(1));
    let _ = views.join_stream(&clicks, |view, click| view + click, within);
}

/// Two tables have keys of one type.
fn tables_of_unlike_keys(builder: &StreamsBuilder) {
    let names = builder.table::<i64, String>("names", Materialized::default());
    let cities = builder.table::<String, String>("cities", Materialized::default());
    let _ = names.join(&cities, |name, city| format!("{name} of {city}"));
}

/// Only streams are joined with global tables.
fn table_and_global_table(builder: &StreamsBuilder) {
    let names = builder.table::<i64, String>("names", Materialized::default());
    let cities = builder.global_table::<i64, String>("cities", Materialized::default());
    let _ = names.join(&cities, |name, city| format!("{name} of {city}"));
}

/// The other row of a left join may be missing.
fn missing_row_ignored(builder: &StreamsBuilder) {
    let names = builder.table::<i64, String>("names", Materialized::default());
    let cities = builder.table::<i64, String>("cities", Materialized::default());
    let _ = names.left_join(&cities, |name: &String, city: &String| {
        format!("{name} of {city}")
    });
}

/// A foreign key is a key of the other table.
fn foreign_key_of_another_type(builder: &StreamsBuilder) {
    let orders = builder.table::<i64, String>("orders", Materialized::default());
    let customers = builder.table::<i64, String>("customers", Materialized::default());
    let _ = orders.join_foreign_key(&customers, |_, order| Some(order.clone()), |_, name| name.clone());
}

fn main() {}
