//! The scripts' interpreter.
//!
//! A line is a command; the driver acknowledges appends and markers at once unless `hold` or `fail` says otherwise.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;
use std::ops::Range;

use bytes::Bytes;
use expect_test::Expect;
use kafka_protocol::ResponseError;

use crate::producer_ids::ProducerIdBlocks;
use crate::transaction::{
    Markers, Token, TopicPartitions, TransactionAction, TransactionConfig, TransactionCoordinator,
    TransactionEvent, TransactionRequest, decode_key, decode_value,
};

struct MemoryBlocks(i64);

impl ProducerIdBlocks for MemoryBlocks {
    fn next_block(&mut self) -> std::io::Result<Range<i64>> {
        let block = self.0..self.0 + 1000;
        self.0 = block.end;
        Ok(block)
    }
}

struct Script {
    coordinator: TransactionCoordinator,
    log: Vec<(Bytes, Option<Bytes>)>,
    now_ms: i64,
    next_token: Token,
    fail_appends: bool,
    fail_markers: bool,
    hold: bool,
    held: VecDeque<TransactionEvent>,
    output: String,
}

pub(super) fn coordinator(first_producer_id: i64) -> TransactionCoordinator {
    TransactionCoordinator::new(
        TransactionConfig::new(50),
        Box::new(MemoryBlocks(first_producer_id)),
    )
}

impl Script {
    fn run(script: &str) -> String {
        let mut this = Self {
            coordinator: coordinator(0),
            log: Vec::new(),
            now_ms: 1_000,
            next_token: 0,
            fail_appends: false,
            fail_markers: false,
            hold: false,
            held: VecDeque::new(),
            output: String::new(),
        };
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            writeln!(this.output, "> {line}").unwrap();
            this.command(&line.split(' ').collect::<Vec<_>>());
        }
        this.output
    }

    fn command(&mut self, words: &[&str]) {
        let text = |index: usize| words[index].to_owned();
        let request = match words[0] {
            "init" => TransactionRequest::InitProducerId {
                transactional_id: Some(text(1)),
                timeout_ms: 60_000,
                expected: words.get(2).map(|identity| self::identity(identity)),
            },
            "add" => TransactionRequest::AddPartitions {
                transactional_id: text(1),
                producer_id: identity(words[2]).0,
                producer_epoch: identity(words[2]).1,
                partitions: TopicPartitions::from([(
                    "out".to_owned(),
                    BTreeSet::from([words[3].parse().unwrap()]),
                )]),
                client_version: version(words.get(4)),
            },
            "end" => TransactionRequest::EndTxn {
                transactional_id: text(1),
                producer_id: identity(words[2]).0,
                producer_epoch: identity(words[2]).1,
                commit: words[3] == "commit",
                client_version: version(words.get(4)),
            },
            "wait" => {
                self.now_ms += words[1].parse::<i64>().unwrap();
                return self.drive(TransactionEvent::Tick);
            }
            "fail-appends" => return self.fail_appends = words[1] == "on",
            "fail-markers" => return self.fail_markers = words[1] == "on",
            "hold" => return self.hold = true,
            "release" => {
                self.hold = false;
                for event in std::mem::take(&mut self.held) {
                    self.drive(event);
                }
                return;
            }
            "epoch" => return self.set_epoch(words[1], words[2].parse().unwrap()),
            "restart" => return self.restart(),
            "show" => {
                for (id, metadata) in self.coordinator.list() {
                    let identity = format!("{}/{}", metadata.producer_id, metadata.producer_epoch);
                    writeln!(
                        self.output,
                        "  {id}: {} {identity} {:?}",
                        metadata.state.name(),
                        metadata.partitions
                    )
                    .unwrap();
                }
                return;
            }
            "verify" => {
                let (producer_id, epoch) = identity(words[2]);
                let result = self.coordinator.verify_partition(
                    words[1],
                    producer_id,
                    epoch,
                    "out",
                    words[3].parse().unwrap(),
                );
                writeln!(self.output, "  {result:?}").unwrap();
                return;
            }
            other => panic!("no command {other}"),
        };
        let token = self.next_token;
        self.next_token += 1;
        self.drive(TransactionEvent::Request { token, request });
    }

    fn drive(&mut self, event: TransactionEvent) {
        let actions = self.coordinator.handle(event, self.now_ms);
        self.perform(actions);
    }

    fn perform(&mut self, actions: Vec<TransactionAction>) {
        for action in actions {
            let event = match action {
                TransactionAction::Reply { reply, .. } => {
                    writeln!(self.output, "  reply {reply:?}").unwrap();
                    continue;
                }
                TransactionAction::Append {
                    append, key, value, ..
                } => {
                    let what = value.as_deref().map_or("tombstone".to_owned(), |value| {
                        let metadata = decode_value(value).unwrap();
                        format!(
                            "{} {}/{}",
                            metadata.state.name(),
                            metadata.producer_id,
                            metadata.producer_epoch
                        )
                    });
                    let outcome = if self.fail_appends { " fails" } else { "" };
                    writeln!(
                        self.output,
                        "  append {} {what}{outcome}",
                        decode_key(&key).unwrap()
                    )
                    .unwrap();
                    let result = if self.fail_appends {
                        Err(ResponseError::CoordinatorNotAvailable)
                    } else {
                        self.log.push((key, value));
                        Ok(())
                    };
                    TransactionEvent::Appended { append, result }
                }
                TransactionAction::WriteMarkers(markers) => {
                    let outcome = if markers.commit { "COMMIT" } else { "ABORT" };
                    let Markers {
                        transactional_id,
                        producer_id,
                        producer_epoch,
                        partitions,
                        ..
                    } = markers;
                    writeln!(
                        self.output,
                        "  markers {outcome} {producer_id}/{producer_epoch} {partitions:?}"
                    )
                    .unwrap();
                    let failed = if self.fail_markers {
                        partitions
                    } else {
                        TopicPartitions::new()
                    };
                    TransactionEvent::MarkersWritten {
                        transactional_id,
                        failed,
                    }
                }
            };
            if self.hold {
                self.held.push_back(event);
            } else {
                self.drive(event);
            }
        }
    }

    /// As after a crash: what was appended is there, everything else is gone.
    fn restart(&mut self) {
        self.coordinator = coordinator(1_000_000);
        self.held.clear();
        self.hold = false;
        for (key, value) in &self.log {
            self.coordinator.load(key, value.as_deref()).unwrap();
        }
        let actions = self.coordinator.finish_loading();
        self.perform(actions);
    }

    fn set_epoch(&mut self, id: &str, epoch: i16) {
        self.coordinator
            .entries
            .get_mut(id)
            .unwrap()
            .current
            .producer_epoch = epoch;
    }
}

fn identity(text: &str) -> (i64, i16) {
    let (producer_id, epoch) = text.split_once('/').unwrap();
    (producer_id.parse().unwrap(), epoch.parse().unwrap())
}

fn version(word: Option<&&str>) -> i16 {
    word.map_or(1, |word| word.trim_start_matches('v').parse().unwrap())
}

pub(super) fn check(script: &str, expected: &Expect) {
    expected.assert_eq(&Script::run(script));
}
