//! How long an application of a hundred operators takes to compile: a crate of its own, in release, its dependencies already
//! built. It is four copies of `compile_time/shop.rs`, each with its own closures, and a `main` that builds the topology;
//! linking it is part of the measure.
//!
//! There are two such applications: one whose operators work on the types of one domain, `compile_time/types.rs`, which the
//! limit is for, and one with four sets of types that have nothing in common, where nearly nothing is compiled once for two
//! operators: the worst case.
//!
//! As a test it compiles nothing, and runs what would be compiled on the test driver.

mod common;
#[path = "compile_time/shop.rs"]
mod shop;
#[path = "compile_time/types.rs"]
mod types;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{criterion, full_size};
use criterion::measurement::{Measurement, WallTime};
use criterion::{BatchSize, SamplingMode};
use streams_dsl::prelude::*;

/// How many copies of the shop make a hundred operators.
const SHOPS: usize = 4;
/// What the median build of the application with one set of types may take, in wall time.
const LIMIT: Duration = Duration::from_secs(15);

fn main() {
    orders_become_labels_and_referrals();
    if full_size() {
        compile_time();
    }
}

/// What is compiled is a topology that works.
fn orders_become_labels_and_referrals() {
    let builder = StreamsBuilder::new();
    shop::declare(&builder, "tea");
    let driver = TopologyTestDriver::new(&builder.build().expect("a topology")).expect("a live topology");
    let postcodes = driver.input("tea-postcodes");
    postcodes.pipe("London".to_owned(), 1_i64).expect("a postcode");
    let customers = driver.input("tea-customers");
    for (number, name, referred_by) in [(1_i64, "Ada", None), (2, "Mary", Some(1))] {
        let customer = types::Customer {
            name: name.to_owned(),
            city: "London".to_owned(),
            referred_by,
        };
        customers.pipe(number, customer).expect("a customer");
    }
    let order = types::Order {
        customer: 2,
        items: vec!["green".to_owned(); 12],
        cents: 4_000,
    };
    driver.input("tea-orders").pipe(7_i64, order).expect("an order");
    let referrals = driver.output::<i64, Option<String>>("tea-referrals");
    assert_eq!(referrals.read_key_values(), [(2, Some("Mary by Ada".to_owned()))]);
    let labels = driver.output::<i64, String>("tea-labels");
    assert_eq!(
        labels.read_key_values(),
        vec![(2, "2: Mary, 1 London".to_owned()); 2]
    );
}

fn compile_time() {
    let mut criterion = criterion();
    let mut group = criterion.benchmark_group("compile_time");
    group.sampling_mode(SamplingMode::Flat);
    for (name, sets_of_types) in [("100 operators", 1), ("100 operators, four sets of types", SHOPS)] {
        let application = Application::new(sets_of_types);
        application.build();
        let mut walls = Vec::new();
        group.bench_function(name, |bencher| {
            let build = |()| {
                let wall = WallTime.start();
                application.build();
                walls.push(WallTime.end(wall));
            };
            bencher.iter_batched(|| application.touch(), build, BatchSize::PerIteration);
        });
        walls.sort_unstable();
        // None if only the other one was asked for.
        let Some(&median) = walls.get(walls.len() / 2) else {
            continue;
        };
        report(&format!(
            "{name}, wall time: fastest {:.1?}, median {median:.1?}",
            walls[0]
        ));
        assert!(
            sets_of_types > 1 || median <= LIMIT,
            "a hundred operators take longer than {LIMIT:?} to compile"
        );
    }
    group.finish();
}

#[expect(clippy::print_stdout, reason = "a bench reports on the terminal")]
fn report(line: &str) {
    println!("{line}");
}

/// For dependencies this workspace's, so that what is built is shared; for the application itself what Cargo gives everybody.
const PROFILE: &str = r#"
[profile.release]
debug = "line-tables-only"
overflow-checks = true

[profile.release.package.librocksdb-sys]
debug = false

[profile.release.package.APPLICATION]
debug = false
overflow-checks = false
"#;

/// A crate in the target folder, outside this workspace but with its lock file.
struct Application {
    directory: PathBuf,
}

impl Application {
    fn new(sets_of_types: usize) -> Self {
        let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
        let workspace = benches.parent().expect("the workspace");
        // The two have different names, so that Cargo tells them apart.
        let name = format!("hundred-operators-{sets_of_types}");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        let sources = directory.join("src");
        fs::create_dir_all(&sources).expect("a folder");
        let shop = fs::read_to_string(benches.join("compile_time/shop.rs")).expect("a file of this bench");
        let mut main = String::new();
        for n in 0..sets_of_types {
            let copy = sources.join(format!("types_{n}.rs"));
            fs::copy(benches.join("compile_time/types.rs"), copy).expect("a copy");
            writeln!(main, "mod types_{n};").expect("memory");
        }
        let mut declare = String::new();
        for n in 0..SHOPS {
            let types = format!("super::types_{}::", n % sets_of_types);
            let copy = shop.replace("super::types::", &types);
            fs::write(sources.join(format!("shop_{n}.rs")), copy).expect("a file");
            writeln!(main, "mod shop_{n};").expect("memory");
            writeln!(declare, "    shop_{n}::declare(&builder, \"shop-{n}\");").expect("memory");
        }
        write!(
            main,
            "use streams_dsl::prelude::*;\n\nfn main() {{\n    let builder = StreamsBuilder::new();\n{declare}    \
             println!(\"{{}}\", builder.build().expect(\"a topology\").describe());\n}}\n"
        )
        .expect("memory");
        fs::write(sources.join("main.rs"), main).expect("a file");
        let manifest = format!(
            "[package]\nname = {name:?}\nedition = \"2024\"\n\n[dependencies]\nserde = {{ version = \"1\", \
             features = [\"derive\"] }}\nstreams-dsl = {{ path = {:?} }}\n{}\n[workspace]\n",
            workspace.join("streams-dsl"),
            PROFILE.replace("APPLICATION", &name)
        );
        fs::write(directory.join("Cargo.toml"), manifest).expect("a file");
        fs::copy(workspace.join("Cargo.lock"), directory.join("Cargo.lock")).expect("a lock file");
        Self { directory }
    }

    /// Makes its own code, and nothing else, out of date.
    fn touch(&self) {
        let main = self.directory.join("src/main.rs");
        let text = fs::read(&main).expect("a file that was written");
        fs::write(&main, text).expect("a file");
    }

    fn build(&self) {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .expect("the target folder");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--release", "--offline", "--quiet", "--target-dir"])
            .arg(target)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .status()
            .expect("cargo");
        assert!(status.success(), "the application does not compile");
    }
}
