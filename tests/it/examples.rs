//! The examples as a person runs them: their results, what `kill -9` does to them, and what they say to bad input.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

/// The programs, built by the cargo that runs these tests: of the whole workspace, so that features are the same and nothing is
/// built again.
fn program(name: &str) -> Command {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--release", "--workspace", "--examples"])
            .status();
        assert!(built.unwrap().success());
        // Tests run in <target>/<profile>/deps.
        let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        deps.join("../../release/examples").canonicalize().unwrap()
    });
    Command::new(folder.join(name))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a program that must fail in an orderly way: exit code 1, one line, no panic.
fn error_of(command: &mut Command) -> String {
    let Output { status, stderr, .. } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(
        !stderr.contains("panicked") && stderr.lines().count() == 1,
        "{stderr}"
    );
    stderr
}

/// Word and count of the whole book.
fn whole_book() -> &'static str {
    static TABLE: OnceLock<String> = OnceLock::new();
    TABLE.get_or_init(|| {
        let dir = TempDir::new().unwrap();
        let output = dir.path().join("counts.tsv");
        let text = run(program("wordcount").args(["--top", "3", "--output"]).arg(&output));
        assert!(
            text.starts_with("791450 words, 12544 distinct\n    63919  the\n    51696  and\n    34618  of\n"),
            "{text}"
        );
        assert!(text.contains("words per second"), "{text}");
        fs::read_to_string(output).unwrap()
    })
}

#[test]
fn word_count_counts_the_book() {
    let table = whole_book();
    assert_eq!(table.lines().count(), 12_544);
    assert!(table.lines().is_sorted());
    assert!(table.starts_with("a\t8"), "{}", &table[..20]);
    assert!(table.contains("\nthe\t63919\n"));
}

/// How often the word count is killed: more often in slow tests.
fn kills() -> u32 {
    if std::env::var_os("RUN_SLOW_TESTS").is_some() {
        40
    } else {
        10
    }
}

#[test]
fn word_count_survives_kill_9_exactly_once() {
    let dir = TempDir::new().unwrap();
    let output = dir.path().join("counts.tsv");
    let mut killed = 0;
    let mut seed = 0x9e37_79b9_u32;
    for round in 0.. {
        // A new directory now and then, so that every phase of a run is hit.
        let data = dir.path().join(format!("data-{}", round / 4));
        let mut command = program("wordcount");
        command.arg("--data-dir").arg(&data).arg("--output").arg(&output);
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let patience = Duration::from_millis(u64::from(seed >> 16) % 500);
        if killed < kills() {
            let mut child = command.stdout(Stdio::null()).spawn().unwrap();
            std::thread::sleep(patience);
            if child.try_wait().unwrap().is_none() {
                child.kill().unwrap();
                killed += 1;
            }
            assert!(child.wait().unwrap().code().is_none_or(|code| code == 0));
        }
        if round % 4 == 3 {
            let text = run(program("wordcount")
                .arg("--data-dir")
                .arg(&data)
                .arg("--output")
                .arg(&output));
            assert!(
                text.starts_with("791450 words, 12544 distinct\n"),
                "after {killed} kills: {text}"
            );
            assert_eq!(
                fs::read_to_string(&output).unwrap(),
                whole_book(),
                "after {killed} kills"
            );
            if killed >= kills() {
                break;
            }
        }
    }
}

#[test]
fn word_count_reads_a_file_at_least_once() {
    let dir = TempDir::new().unwrap();
    let input = dir.path().join("input.txt");
    fs::write(&input, "One fish, two fish!\nred FISH\n\nblue-fish 7").unwrap();
    let output = dir.path().join("counts.tsv");
    let text = run(program("wordcount")
        .arg("--at-least-once")
        .arg("--input")
        .arg(&input)
        .arg("--output")
        .arg(&output));
    assert!(
        text.starts_with("8 words, 5 distinct\n        4  fish\n"),
        "{text}"
    );
    assert_eq!(
        fs::read_to_string(output).unwrap(),
        "blue\t1\nfish\t4\none\t1\nred\t1\ntwo\t1\n"
    );
}

#[test]
fn flights_joins_and_counts() {
    let text = run(program("flights").args(["--hours", "1"]));
    assert!(
        text.contains("United Air Lines Inc.                                   57979            12.1"),
        "{text}"
    );
    assert!(
        text.contains("Newark Liberty Intl                                    117596            15.1"),
        "{text}"
    );
    assert!(
        text.contains("2013-09-09 12:00  ExpressJet Airlines Inc.                 22             3.4"),
        "{text}"
    );
    assert!(!text.contains("too late"), "{text}");
}

#[test]
fn unreadable_input_is_named() {
    let dir = TempDir::new().unwrap();
    let missing = dir.path().join("missing.txt");
    assert!(
        error_of(program("wordcount").arg("--input").arg(&missing)).contains("missing.txt: cannot be read")
    );
    assert!(error_of(program("wordcount").arg("--input").arg(dir.path())).contains("cannot be read"));
    let broken = dir.path().join("broken.gz");
    fs::write(&broken, "this is not gzip").unwrap();
    assert!(error_of(program("wordcount").arg("--input").arg(&broken)).contains("broken.gz: cannot be read"));
    let flights = dir.path().join("flights.csv");
    fs::write(
        &flights,
        "time_hour,carrier,flight,origin,dep_delay\n2013-01-01T10:00:00Z,UA,1,EWR,2\nyesterday,UA,1,EWR,2\n",
    )
    .unwrap();
    let error = error_of(program("flights").arg("--input").arg(&flights));
    assert!(
        error.contains("flights.csv, line 3: `yesterday` is not a time"),
        "{error}"
    );
}

/// A data directory with a finished run over a few words.
fn finished_run() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let input = dir.path().join("input.txt");
    fs::write(&input, "to be or not to be\n".repeat(1_000)).unwrap();
    run(&mut word_count(dir.path()));
    (dir, input)
}

fn word_count(dir: &Path) -> Command {
    let mut command = program("wordcount");
    command
        .arg("--input")
        .arg(dir.join("input.txt"))
        .arg("--data-dir")
        .arg(dir.join("data"));
    command
}

#[test]
fn a_data_directory_of_other_input_is_refused() {
    let (dir, input) = finished_run();
    fs::write(input, "something else").unwrap();
    assert!(error_of(&mut word_count(dir.path())).contains("use another --data-dir"));
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let (dir, _) = finished_run();
    let lock = fs::File::options()
        .write(true)
        .open(dir.path().join("data/broker/.lock"))
        .unwrap();
    lock.lock().unwrap();
    let error = error_of(&mut word_count(dir.path()));
    assert!(
        error.contains("data/broker is in use by another process"),
        "{error}"
    );
    drop(lock);
    run(&mut word_count(dir.path()));
}

#[test]
fn a_corrupt_segment_is_named_and_left_alone() {
    let (dir, _) = finished_run();
    let segment = dir.path().join("data/broker/lines-0/00000000000000000000.log");
    let file = fs::File::options().read(true).write(true).open(&segment).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 100).unwrap();
    file.write_all_at(&[byte[0] ^ 0xff], 100).unwrap();
    // As after a crash, which is when segments are checked at the start. More records follow the damaged batch.
    fs::remove_file(dir.path().join("data/broker/.kafka_cleanshutdown")).unwrap();
    let copy = fs::read(&segment).unwrap();
    file.write_all_at(&copy, copy.len() as u64).unwrap();
    let before = fs::read(&segment).unwrap();
    let error = error_of(&mut word_count(dir.path()));
    assert!(
        error.contains("lines-0/00000000000000000000.log") && error.contains("Restore the file"),
        "{error}"
    );
    assert_eq!(fs::read(&segment).unwrap(), before, "nothing may be lost");
}

#[test]
fn a_store_of_another_application_is_refused() {
    let (dir, _) = finished_run();
    let store = dir.path().join("data/state/wordcount/1_0/rocksdb/counts");
    let other = TempDir::new().unwrap();
    run(program("flights").arg("--data-dir").arg(other.path()));
    fs::remove_dir_all(&store).unwrap();
    fs::rename(other.path().join("state/flights/0_0/rocksdb/airlines"), &store).unwrap();
    let error = error_of(&mut word_count(dir.path()));
    assert!(
        error.contains("rocksdb/counts belongs to store \"airlines\""),
        "{error}"
    );
}

#[test]
fn directories_of_a_newer_version_are_refused() {
    for (file, old, new) in [
        ("broker/meta.properties", "version=1", "version=9"),
        (
            "state/wordcount/kafka-streams-process-metadata",
            "\"version\":1",
            "\"version\":9",
        ),
    ] {
        let (dir, _) = finished_run();
        let path = dir.path().join("data").join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace(old, new)).unwrap();
        let error = error_of(&mut word_count(dir.path()));
        assert!(error.contains("version 9") && error.contains("newer"), "{error}");
    }
}
