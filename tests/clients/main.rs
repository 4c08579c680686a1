//! Other people's clients against the broker, each as its users would use it: what works with Apache Kafka works here.
//!
//! `tests/clients/setup` installs them, which `./headwater test` does by itself. With `HEADWATER_TEST_KAFKA=host:port` the same
//! programs run against that broker instead.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../common/server.rs"]
mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use server::Server;

/// Where the clients are installed.
fn clients() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/setup");
        let cache = std::env::var_os("HEADWATER_CLIENTS").map_or_else(
            || {
                let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
                let home =
                    || PathBuf::from(std::env::var_os("HOME").expect("a home directory")).join(".cache");
                cache.unwrap_or_else(home).join("headwater/clients")
            },
            PathBuf::from,
        );
        let status = Command::new(setup)
            .env("HEADWATER_CLIENTS", &cache)
            .status()
            .unwrap();
        assert!(
            status.success(),
            "the clients cannot be installed; see above what is missing"
        );
        cache
    })
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

fn jars() -> String {
    let clients = clients();
    format!("{}/java/*:{}/classes", clients.display(), clients.display())
}

/// Runs a client to its end, which must come without complaint.
fn run(command: &mut Command) {
    // Cargo lets tests find the librdkafka that it built, which other programs must not take for theirs.
    let Output {
        status,
        stdout,
        stderr,
    } = command.env_remove("LD_LIBRARY_PATH").output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}\n{stderr}");
}

/// A broker for one client: groups start at once, everything else is as it comes.
fn broker() -> Server {
    Server::start(&["group.initial.rebalance.delay.ms=0"])
}

fn python(name: &str) {
    let broker = broker();
    run(Command::new(clients().join("python/bin/python"))
        .arg(script(name))
        .arg(broker.address()));
}

#[test]
fn confluent_kafka() {
    python("confluent.py");
}

#[test]
fn confluent_kafka_moves_a_group_to_another_protocol_and_back() {
    python("migration.py");
}

#[test]
fn kafka_python() {
    python("kafka_python.py");
}

#[test]
fn aiokafka() {
    python("aiokafka_client.py");
}

#[test]
fn kafka_python_with_group_commit() {
    let broker = Server::start_own(&[
        "headwater.group.commit.enable=true",
        "group.initial.rebalance.delay.ms=0",
    ]);
    let program = clients().join("python/bin/python");
    run(Command::new(program)
        .arg(script("kafka_python.py"))
        .arg(broker.address()));
}

#[test]
fn kafkajs() {
    let broker = broker();
    let modules = clients().join("node/node_modules");
    run(Command::new("node")
        .env("NODE_PATH", modules)
        .arg(script("kafkajs_client.js"))
        .arg(broker.address()));
}

#[test]
fn kcat() {
    clients();
    let broker = broker();
    run(Command::new(script("kcat.sh")).arg(broker.address()));
}

#[test]
fn java_clients() {
    let broker = broker();
    run(Command::new("java").args(["-cp", &jars(), "Clients", broker.address()]));
}

#[test]
fn java_clients_move_a_group_to_another_protocol_and_back() {
    let broker = broker();
    run(Command::new("java").args(["-cp", &jars(), "Migration", broker.address()]));
}

#[test]
fn command_line_tools() {
    let broker = broker();
    run(Command::new(script("tools.sh"))
        .arg(broker.address())
        .arg(clients().join("java")));
}

/// A word count of Kafka Streams, with its repartition topic and its changelog.
fn word_count(guarantee: &str, protocol: &str) {
    let broker = broker();
    let state = tempfile::tempdir().unwrap();
    run(Command::new("java")
        .args(["-cp", &jars(), "WordCount", broker.address(), guarantee, protocol])
        .arg(state.path()));
}

#[test]
fn kafka_streams_at_least_once() {
    word_count("at_least_once", "classic");
}

#[test]
fn kafka_streams_exactly_once() {
    word_count("exactly_once_v2", "classic");
}

#[test]
fn kafka_streams_of_the_streams_protocol() {
    word_count("exactly_once_v2", "streams");
}
