//! Departures from New York's airports, joined with the names of airlines and airports, counted per carrier and per hour.
//!
//! Shows stream-table joins, JSON values, a repartition between two joins, an aggregate of your own type, and tumbling
//! windows.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use common::{Failure, Input, Workspace};
use serde::{Deserialize, Serialize};
use streams_dsl::prelude::*;

const FLIGHTS: &[u8] = include_bytes!("data/flights.csv.gz");
const AIRLINES: &[u8] = include_bytes!("data/airlines.csv");
const AIRPORTS: &[u8] = include_bytes!("data/airports.csv");

/// Departures and mean delay per carrier, per airport, and per carrier and hour.
#[derive(Parser)]
struct Arguments {
    /// CSV with the columns time_hour (as 2013-01-01T10:00:00Z), carrier, flight, origin and dep_delay (minutes, empty if the
    /// flight never left); unpacked if it ends in .gz. Default: all departures from New York in 2013.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// How many of the busiest hours to print.
    #[arg(long, value_name = "N", default_value_t = 15)]
    hours: usize,
    /// Keeps topics and state, so that a run can be taken up again. Default: a temporary directory.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// A row of the input, of which columns beside these are not read.
#[derive(Clone, Serialize, Deserialize)]
struct Flight {
    time_hour: String,
    carrier: String,
    flight: u32,
    origin: String,
    /// Minutes late; none (empty, or NA) if it never left.
    #[serde(deserialize_with = "minutes")]
    dep_delay: Option<f64>,
}

/// A flight with the names that its codes stand for.
#[derive(Clone, Serialize, Deserialize)]
struct Departure {
    airline: String,
    origin: String,
    delay_minutes: f64,
}

/// What is kept per carrier, airport or hour.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Delays {
    departures: u64,
    delay_minutes: f64,
}

json_serde!(Flight, Departure, Delays);

fn main() -> ExitCode {
    common::main("flights", || run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (name, bytes) = match &arguments.input {
        Some(path) => (path.display().to_string(), common::read_file(path)?),
        None => ("the bundled flights".to_owned(), common::unpack(FLIGHTS)?),
    };
    let flights = read_flights(&name, &bytes)?;
    let workspace = Workspace::open(arguments.data_dir.as_deref())?;
    workspace.check_input(&name, &bytes)?;
    workspace.create_topics(&[
        "airlines",
        "airports",
        "flights",
        "by-carrier",
        "by-airport",
        "by-hour",
    ])?;
    // Tables first: their rows are older than all flights, so that every flight meets its row.
    workspace.load("airlines", &read_names(AIRLINES, "carrier")?)?;
    workspace.load("airports", &read_names(AIRPORTS, "faa")?)?;
    workspace.load("flights", &flights)?;

    let streams = workspace.start(&topology()?, StreamsConfig::new("flights"))?;
    common::wait_for_the_end(&streams, flights.len() as u64, "flights")?;
    let late = streams.dropped(DropReason::Late);
    streams.close()?;

    let carriers = read_table(&workspace, "by-carrier", |key| {
        Ok(String::from_utf8_lossy(key).into_owned())
    })?;
    let mut text = table("Carrier", &carriers, carriers.len());
    let airports = read_table(&workspace, "by-airport", |key| {
        Ok(String::from_utf8_lossy(key).into_owned())
    })?;
    text += &table("From", &airports, airports.len());
    text += &table(
        "Hour and carrier (busiest)",
        &read_table(&workspace, "by-hour", hour_key)?,
        arguments.hours,
    );
    if late > 0 {
        text += &format!("{late} departures came too late for their hour and are not in the last table\n");
    }
    common::print(&text)
}

fn topology() -> Result<Topology, StreamsError> {
    let builder = StreamsBuilder::new();
    let airlines = builder.table::<String, String>("airlines", Materialized::named("airlines"));
    let airports = builder.table::<String, String>("airports", Materialized::named("airports"));
    let departures = builder
        .stream::<String, Flight>("flights")
        .filter(|_, flight| flight.dep_delay.is_some())
        .left_join(&airlines, |flight, airline| {
            let airline = airline.cloned().unwrap_or_else(|| flight.carrier.clone());
            let delay_minutes = flight.dep_delay.unwrap_or_default();
            Departure {
                airline,
                origin: flight.origin,
                delay_minutes,
            }
        })
        .select_key(|_, departure| departure.origin.clone())
        .join(&airports, |departure, origin| Departure {
            origin: origin.clone(),
            ..departure
        });

    let by_carrier = departures.group_by_with(|_, d| d.airline.clone(), Grouped::named("by-carrier"));
    by_carrier
        .aggregate(Delays::default, Delays::add, Materialized::named("carriers"))
        .to_stream()
        .to("by-carrier");
    let hours = TimeWindows::of_size_with_no_grace(Duration::from_secs(3_600));
    by_carrier
        .windowed_by(hours)
        .aggregate(Delays::default, Delays::add, Materialized::named("hours"))
        .to_stream()
        .to("by-hour");
    departures
        .group_by_with(|_, d| d.origin.clone(), Grouped::named("by-airport"))
        .aggregate(
            Delays::default,
            Delays::add,
            Materialized::named("departure-airports"),
        )
        .to_stream()
        .to("by-airport");
    builder.build()
}

impl Delays {
    fn add(_key: &String, departure: Departure, delays: Delays) -> Delays {
        Delays {
            departures: delays.departures + 1,
            delay_minutes: delays.delay_minutes + departure.delay_minutes,
        }
    }

    fn mean(&self) -> f64 {
        self.delay_minutes / self.departures.max(1) as f64
    }
}

/// Flights in the order of their hours, as they would have come: keyed by carrier, the value as JSON.
fn read_flights(name: &str, bytes: &[u8]) -> Result<Vec<Input>, Failure> {
    let mut reader = csv::Reader::from_reader(bytes);
    let mut flights = Vec::new();
    for (index, row) in reader.deserialize::<Flight>().enumerate() {
        let line = index + 2;
        let flight = row.map_err(|error| format!("{name}, line {line}: {error}"))?;
        let time_ms = parse_hour(&flight.time_hour).ok_or_else(|| {
            format!(
                "{name}, line {line}: `{}` is not a time such as 2013-01-01T10:00:00Z",
                flight.time_hour
            )
        })?;
        flights.push((
            Some(flight.carrier.clone()),
            serde_json::to_string(&flight)?,
            time_ms,
        ));
    }
    flights.sort_by_key(|(_, _, time_ms)| *time_ms);
    Ok(flights)
}

fn minutes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Minutes {
        Number(f64),
        Text(String),
        Missing(()),
    }
    match Minutes::deserialize(deserializer)? {
        Minutes::Number(minutes) => Ok(Some(minutes)),
        Minutes::Missing(()) => Ok(None),
        Minutes::Text(text) if text.is_empty() || text == "NA" => Ok(None),
        Minutes::Text(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

/// Code and name of each row.
fn read_names(bytes: &[u8], code: &str) -> Result<Vec<Input>, Failure> {
    let mut reader = csv::Reader::from_reader(bytes);
    let rows = reader.deserialize::<BTreeMap<String, String>>();
    rows.map(|row| {
        let mut row = row?;
        Ok((row.remove(code), row.remove("name").unwrap_or_default(), 0))
    })
    .collect()
}

/// Milliseconds since the Unix epoch of `2013-01-01T10:00:00Z`.
fn parse_hour(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, mark: char| {
        text.split(mark)
            .map(|part| part.parse().ok())
            .collect::<Option<Vec<i64>>>()
    };
    let (date, time) = (numbers(date, '-')?, numbers(time, ':')?);
    let ([year, month, day], [hour, minute, second]) = (date.as_slice(), time.as_slice()) else {
        return None;
    };
    if !(1..=12).contains(month) || !(1..=31).contains(day) {
        return None;
    }
    Some((days_since_epoch(*year, *month, *day) * 86_400 + hour * 3_600 + minute * 60 + second) * 1_000)
}

/// Days from 1970-01-01, counting years from March so that the leap day comes last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

fn format_hour(time_ms: i64) -> String {
    let (days, seconds) = (
        time_ms.div_euclid(86_400_000),
        time_ms.rem_euclid(86_400_000) / 1_000,
    );
    // The inverse by search: a year has at least 365 days, so the guess is near.
    let mut year = 1970 + days.div_euclid(366);
    while days_since_epoch(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12)
        .rev()
        .find(|month| days_since_epoch(year, *month, 1) <= days)
        .unwrap_or(1);
    let day = days - days_since_epoch(year, month, 1) + 1;
    format!("{year:04}-{month:02}-{day:02} {:02}:00", seconds / 3_600)
}

/// `2013-01-01 10:00  United Air Lines Inc.` from a windowed key's bytes.
fn hour_key(key: &[u8]) -> Result<String, Failure> {
    let serde = <Windowed<String>>::default_serde();
    let Windowed { key, window } = serde.deserialize("by-hour", key)?;
    Ok(format!("{}  {key}", format_hour(window.start_ms)))
}

/// The last update of each row, those with most departures first.
fn read_table(
    workspace: &Workspace,
    topic: &str,
    name: impl Fn(&[u8]) -> Result<String, Failure>,
) -> Result<Vec<(String, Delays)>, Failure> {
    let mut rows: BTreeMap<String, Delays> = BTreeMap::new();
    workspace.read(topic, |key, value| {
        rows.insert(name(key)?, serde_json::from_slice(value.unwrap_or_default())?);
        Ok(())
    })?;
    let mut rows: Vec<(String, Delays)> = rows.into_iter().collect();
    rows.sort_by_key(|(_, delays)| std::cmp::Reverse(delays.departures));
    Ok(rows)
}

fn table(title: &str, rows: &[(String, Delays)], limit: usize) -> String {
    let mut text = format!("{title:<50} {:>10} {:>15}\n", "Departures", "Mean delay, min");
    for (name, delays) in rows.iter().take(limit) {
        text += &format!("{name:<50} {:>10} {:>15.1}\n", delays.departures, delays.mean());
    }
    text + "\n"
}
