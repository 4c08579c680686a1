//! The same requests to Apache Kafka and to our broker, the answers compared field by field.
//!
//! `golden.txt` holds what Apache Kafka 4.1.0 answers. It is written anew by
//! `UPDATE_GOLDEN=1 streams-kafka/tests/with-apache-kafka cargo test --release -p tests --test conformance`; without that, our broker must
//! answer the same. What may differ is replaced: identifiers, times, addresses, texts of errors.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../common/server.rs"]
mod server;

mod client;
mod script;

use std::path::Path;

use client::Client;
use server::Server;

#[test]
fn our_answers_are_kafkas() {
    let server = Server::start(&[
        "group.initial.rebalance.delay.ms=0",
        "auto.create.topics.enable=false",
        "node.id=1",
        "log.cleaner.backoff.ms=300",
    ]);
    let mut client = Client::connect(server.address());
    script::run(&mut client);
    let answers = client.transcript();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/golden.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, answers).unwrap();
        return;
    }
    // For a closer look: compare the two files.
    let ours = Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance-answers.txt");
    std::fs::write(&ours, &answers).unwrap();
    let expected = std::fs::read_to_string(&golden).unwrap();
    let differing: Vec<String> = expected
        .lines()
        .zip(answers.lines())
        .filter(|(expected, answer)| expected != answer)
        .map(|(expected, answer)| format!("kafka: {expected}\nours:  {answer}"))
        .collect();
    assert!(
        differing.is_empty(),
        "{} answers differ between {} and {}:\n{}",
        differing.len(),
        golden.display(),
        ours.display(),
        differing.join("\n")
    );
    assert_eq!(expected.lines().count(), answers.lines().count());
}
