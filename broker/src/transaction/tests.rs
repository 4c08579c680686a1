//! Scripts of requests against the transaction coordinator, one per rule, with everything it asked for in between.
//!
//! A line is a command; the driver acknowledges appends and markers at once unless `hold` or `fail` says otherwise.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;
use std::ops::Range;

use expect_test::{Expect, expect};

use super::*;

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

fn coordinator(first_producer_id: i64) -> TransactionCoordinator {
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

fn check(script: &str, expected: &Expect) {
    expected.assert_eq(&Script::run(script));
}

#[test]
fn a_transaction_is_logged_before_it_is_visible_and_marked_before_it_is_complete() {
    check(
        "init a
         add a 0/0 1
         add a 0/0 1
         end a 0/0 commit
         end a 0/0 commit
         end a 0/0 abort
         show",
        &expect![[r#"
            > init a
              append a Empty 0/0
              reply InitProducerId(Ok((0, 0)))
            > add a 0/0 1
              append a Ongoing 0/0
              reply AddPartitions(Ok(()))
            > add a 0/0 1
              reply AddPartitions(Ok(()))
            > end a 0/0 commit
              append a PrepareCommit 0/0
              markers COMMIT 0/0 {"out": {1}}
              append a CompleteCommit 0/0
              reply EndTxn(Ok((0, 0)))
            > end a 0/0 commit
              reply EndTxn(Ok((0, 0)))
            > end a 0/0 abort
              reply EndTxn(Err(InvalidTxnState))
            > show
              a: CompleteCommit 0/0 {}
        "#]],
    );
}

#[test]
fn an_aborted_transaction_answers_its_retry_and_refuses_the_opposite() {
    check(
        "init a
         end a 0/0 commit
         end a 0/0 abort
         add a 0/0 1
         end a 0/0 abort
         end a 0/0 abort
         end a 0/0 commit",
        &expect![[r#"
            > init a
              append a Empty 0/0
              reply InitProducerId(Ok((0, 0)))
            > end a 0/0 commit
              reply EndTxn(Err(InvalidTxnState))
            > end a 0/0 abort
              reply EndTxn(Err(InvalidTxnState))
            > add a 0/0 1
              append a Ongoing 0/0
              reply AddPartitions(Ok(()))
            > end a 0/0 abort
              append a PrepareAbort 0/0
              markers ABORT 0/0 {"out": {1}}
              append a CompleteAbort 0/0
              reply EndTxn(Ok((0, 0)))
            > end a 0/0 abort
              reply EndTxn(Ok((0, 0)))
            > end a 0/0 commit
              reply EndTxn(Err(InvalidTxnState))
        "#]],
    );
}

#[test]
fn a_new_producer_fences_the_old_one_and_aborts_its_transaction() {
    check(
        "init a
         add a 0/0 1
         init a
         init a
         add a 0/0 2
         end a 0/0 commit
         add a 7/2 1
         add b 0/0 1
         show",
        &expect![[r#"
            > init a
              append a Empty 0/0
              reply InitProducerId(Ok((0, 0)))
            > add a 0/0 1
              append a Ongoing 0/0
              reply AddPartitions(Ok(()))
            > init a
              append a PrepareAbort 0/1
              markers ABORT 0/1 {"out": {1}}
              append a CompleteAbort 0/1
              reply InitProducerId(Err(ConcurrentTransactions))
            > init a
              append a Empty 0/2
              reply InitProducerId(Ok((0, 2)))
            > add a 0/0 2
              reply AddPartitions(Err(ProducerFenced))
            > end a 0/0 commit
              reply EndTxn(Err(ProducerFenced))
            > add a 7/2 1
              reply AddPartitions(Err(InvalidProducerIdMapping))
            > add b 0/0 1
              reply AddPartitions(Err(InvalidProducerIdMapping))
            > show
              a: Empty 0/2 {}
        "#]],
    );
}

#[test]
fn a_producer_that_knows_its_epoch_keeps_its_id_and_its_retries() {
    check(
        "init a
         init a 0/0
         init a 0/0
         init a 0/5
         init a 9/1
         init new 5/5",
        &expect![[r#"
            > init a
              append a Empty 0/0
              reply InitProducerId(Ok((0, 0)))
            > init a 0/0
              append a Empty 0/1
              reply InitProducerId(Ok((0, 1)))
            > init a 0/0
              append a Empty 0/1
              reply InitProducerId(Ok((0, 1)))
            > init a 0/5
              reply InitProducerId(Err(ProducerFenced))
            > init a 9/1
              reply InitProducerId(Err(ProducerFenced))
            > init new 5/5
              append new Empty 1/0
              reply InitProducerId(Ok((1, 0)))
        "#]],
    );
}

#[test]
fn used_up_epochs_rotate_the_producer_id() {
    check(
        "init a
         epoch a 32766
         init a 0/32766
         init a 0/32766
         epoch a 32765
         init a
         add a 1/32766 1
         init a
         init a",
        &expect![[r#"
            > init a
              append a Empty 0/0
              reply InitProducerId(Ok((0, 0)))
            > epoch a 32766
            > init a 0/32766
              append a Empty 1/0
              reply InitProducerId(Ok((1, 0)))
            > init a 0/32766
              append a Empty 1/0
              reply InitProducerId(Ok((1, 0)))
            > epoch a 32765
            > init a
              append a Empty 1/32766
              reply InitProducerId(Ok((1, 32766)))
            > add a 1/32766 1
              append a Ongoing 1/32766
              reply AddPartitions(Ok(()))
            > init a
              append a PrepareAbort 1/32767
              markers ABORT 1/32767 {"out": {1}}
              append a CompleteAbort 1/32767
              reply InitProducerId(Err(ConcurrentTransactions))
            > init a
              append a Empty 2/0
              reply InitProducerId(Ok((2, 0)))
        "#]],
    );
}

#[test]
fn one_step_at_a_time_for_an_id() {
    check(
        "init a
         hold
         add a 0/0 1
         add a 0/0 2
         end a 0/0 commit
         init a
         verify a 0/0 1
         release
         hold
         end a 0/0 commit
         verify a 0/0 1
         release",
        &expect![[r#"
            > init a
              append a Empty 0/0
              reply InitProducerId(Ok((0, 0)))
            > hold
            > add a 0/0 1
              append a Ongoing 0/0
            > add a 0/0 2
              reply AddPartitions(Err(ConcurrentTransactions))
            > end a 0/0 commit
              reply EndTxn(Err(ConcurrentTransactions))
            > init a
              reply InitProducerId(Err(ConcurrentTransactions))
            > verify a 0/0 1
              Err(ConcurrentTransactions)
            > release
              reply AddPartitions(Ok(()))
            > hold
            > end a 0/0 commit
              append a PrepareCommit 0/0
            > verify a 0/0 1
              Err(ConcurrentTransactions)
            > release
              markers COMMIT 0/0 {"out": {1}}
              append a CompleteCommit 0/0
              reply EndTxn(Ok((0, 0)))
        "#]],
    );
}

#[test]
fn version_two_bumps_the_epoch_with_every_transaction() {
    check(
        "init a
         add a 0/0 1 v2
         end a 0/0 commit v2
         end a 0/0 commit v2
         end a 0/0 abort v2
         add a 0/1 1 v2
         end a 0/0 commit v2
         end a 0/1 abort v2
         end a 0/2 commit v2
         end a 0/2 abort v2
         show",
        &expect![[r#"
            > init a
              append a Empty 0/0
              reply InitProducerId(Ok((0, 0)))
            > add a 0/0 1 v2
              append a Ongoing 0/0
              reply AddPartitions(Ok(()))
            > end a 0/0 commit v2
              append a PrepareCommit 0/1
              markers COMMIT 0/1 {"out": {1}}
              append a CompleteCommit 0/1
              reply EndTxn(Ok((0, 1)))
            > end a 0/0 commit v2
              reply EndTxn(Ok((0, 1)))
            > end a 0/0 abort v2
              reply EndTxn(Err(InvalidTxnState))
            > add a 0/1 1 v2
              append a Ongoing 0/1
              reply AddPartitions(Ok(()))
            > end a 0/0 commit v2
              reply EndTxn(Err(ProducerFenced))
            > end a 0/1 abort v2
              append a PrepareAbort 0/2
              markers ABORT 0/2 {"out": {1}}
              append a CompleteAbort 0/2
              reply EndTxn(Ok((0, 2)))
            > end a 0/2 commit v2
              reply EndTxn(Err(InvalidTxnState))
            > end a 0/2 abort v2
              append a PrepareAbort 0/3
              markers ABORT 0/3 {}
              append a CompleteAbort 0/3
              reply EndTxn(Ok((0, 3)))
            > show
              a: CompleteAbort 0/3 {}
        "#]],
    );
}

#[test]
fn version_two_rotates_the_producer_id_at_the_last_epoch() {
    check(
        "init a
         epoch a 32766
         add a 0/32766 1 v2
         hold
         end a 0/32766 commit v2
         release
         end a 0/32766 commit v2
         add a 1/0 1 v2
         show",
        &expect![[r#"
            > init a
              append a Empty 0/0
              reply InitProducerId(Ok((0, 0)))
            > epoch a 32766
            > add a 0/32766 1 v2
              append a Ongoing 0/32766
              reply AddPartitions(Ok(()))
            > hold
            > end a 0/32766 commit v2
              append a PrepareCommit 0/32767
            > release
              markers COMMIT 0/32767 {"out": {1}}
              append a CompleteCommit 1/0
              reply EndTxn(Ok((1, 0)))
            > end a 0/32766 commit v2
              reply EndTxn(Ok((1, 0)))
            > add a 1/0 1 v2
              append a Ongoing 1/0
              reply AddPartitions(Ok(()))
            > show
              a: Ongoing 1/0 {"out": {1}}
        "#]],
    );
}

#[test]
fn a_transaction_that_is_open_too_long_is_aborted_and_its_producer_fenced() {
    check(
        "init a
         wait 5000
         add a 0/0 1
         wait 60000
         wait 10000
         end a 0/0 commit
         init a 0/0
         init a",
        &expect![[r#"
            > init a
              append a Empty 0/0
              reply InitProducerId(Ok((0, 0)))
            > wait 5000
            > add a 0/0 1
              append a Ongoing 0/0
              reply AddPartitions(Ok(()))
            > wait 60000
            > wait 10000
              append a PrepareAbort 0/1
              markers ABORT 0/1 {"out": {1}}
              append a CompleteAbort 0/1
            > end a 0/0 commit
              reply EndTxn(Err(ProducerFenced))
            > init a 0/0
              reply InitProducerId(Err(ProducerFenced))
            > init a
              append a Empty 0/2
              reply InitProducerId(Ok((0, 2)))
        "#]],
    );
}

#[test]
fn markers_that_cannot_be_written_are_tried_again_and_the_answer_does_not_wait() {
    check(
        "init a
         add a 0/0 1
         fail-markers on
         end a 0/0 commit
         end a 0/0 commit
         add a 0/0 1
         wait 10000
         fail-markers off
         wait 10000
         end a 0/0 commit
         show",
        &expect![[r#"
            > init a
              append a Empty 0/0
              reply InitProducerId(Ok((0, 0)))
            > add a 0/0 1
              append a Ongoing 0/0
              reply AddPartitions(Ok(()))
            > fail-markers on
            > end a 0/0 commit
              append a PrepareCommit 0/0
              markers COMMIT 0/0 {"out": {1}}
              reply EndTxn(Ok((0, 0)))
            > end a 0/0 commit
              reply EndTxn(Err(ConcurrentTransactions))
            > add a 0/0 1
              reply AddPartitions(Err(ConcurrentTransactions))
            > wait 10000
              markers COMMIT 0/0 {"out": {1}}
            > fail-markers off
            > wait 10000
              markers COMMIT 0/0 {"out": {1}}
              append a CompleteCommit 0/0
            > end a 0/0 commit
              reply EndTxn(Ok((0, 0)))
            > show
              a: CompleteCommit 0/0 {}
        "#]],
    );
}

#[test]
fn a_step_that_is_not_in_the_log_did_not_happen() {
    check(
        "fail-appends on
         init a
         show
         fail-appends off
         init a
         add a 1/0 1
         fail-appends on
         end a 1/0 commit
         init a
         init a
         fail-appends off
         end a 1/0 commit
         init a
         show",
        &expect![[r#"
            > fail-appends on
            > init a
              append a Empty 0/0 fails
              reply InitProducerId(Err(CoordinatorNotAvailable))
            > show
            > fail-appends off
            > init a
              append a Empty 1/0
              reply InitProducerId(Ok((1, 0)))
            > add a 1/0 1
              append a Ongoing 1/0
              reply AddPartitions(Ok(()))
            > fail-appends on
            > end a 1/0 commit
              append a PrepareCommit 1/0 fails
              reply EndTxn(Err(CoordinatorNotAvailable))
            > init a
              append a PrepareAbort 1/1 fails
              reply InitProducerId(Err(CoordinatorNotAvailable))
            > init a
              append a PrepareAbort 1/1 fails
              reply InitProducerId(Err(CoordinatorNotAvailable))
            > fail-appends off
            > end a 1/0 commit
              reply EndTxn(Err(ProducerFenced))
            > init a
              append a PrepareAbort 1/1
              markers ABORT 1/1 {"out": {1}}
              append a CompleteAbort 1/1
              reply InitProducerId(Err(ConcurrentTransactions))
            > show
              a: CompleteAbort 1/1 {}
        "#]],
    );
}

#[test]
fn a_restart_finishes_what_was_decided_and_keeps_what_was_open() {
    check(
        "init a
         init b
         init c
         add a 0/0 1
         add b 1/0 2
         add c 2/0 3
         fail-markers on
         end a 0/0 commit
         end b 1/0 abort
         fail-markers off
         restart
         show
         add c 2/0 4
         end c 2/0 commit",
        &expect![[r#"
            > init a
              append a Empty 0/0
              reply InitProducerId(Ok((0, 0)))
            > init b
              append b Empty 1/0
              reply InitProducerId(Ok((1, 0)))
            > init c
              append c Empty 2/0
              reply InitProducerId(Ok((2, 0)))
            > add a 0/0 1
              append a Ongoing 0/0
              reply AddPartitions(Ok(()))
            > add b 1/0 2
              append b Ongoing 1/0
              reply AddPartitions(Ok(()))
            > add c 2/0 3
              append c Ongoing 2/0
              reply AddPartitions(Ok(()))
            > fail-markers on
            > end a 0/0 commit
              append a PrepareCommit 0/0
              markers COMMIT 0/0 {"out": {1}}
              reply EndTxn(Ok((0, 0)))
            > end b 1/0 abort
              append b PrepareAbort 1/0
              markers ABORT 1/0 {"out": {2}}
              reply EndTxn(Ok((1, 0)))
            > fail-markers off
            > restart
              markers COMMIT 0/0 {"out": {1}}
              append a CompleteCommit 0/0
              markers ABORT 1/0 {"out": {2}}
              append b CompleteAbort 1/0
            > show
              a: CompleteCommit 0/0 {}
              b: CompleteAbort 1/0 {}
              c: Ongoing 2/0 {"out": {3}}
            > add c 2/0 4
              append c Ongoing 2/0
              reply AddPartitions(Ok(()))
            > end c 2/0 commit
              append c PrepareCommit 2/0
              markers COMMIT 2/0 {"out": {3, 4}}
              append c CompleteCommit 2/0
              reply EndTxn(Ok((2, 0)))
        "#]],
    );
}

#[test]
fn an_open_transaction_keeps_its_timer_over_a_restart() {
    check(
        "init a
         add a 0/0 1
         wait 40000
         restart
         wait 10000
         wait 20000",
        &expect![[r#"
            > init a
              append a Empty 0/0
              reply InitProducerId(Ok((0, 0)))
            > add a 0/0 1
              append a Ongoing 0/0
              reply AddPartitions(Ok(()))
            > wait 40000
            > restart
            > wait 10000
            > wait 20000
              append a PrepareAbort 0/1
              markers ABORT 0/1 {"out": {1}}
              append a CompleteAbort 0/1
        "#]],
    );
}

#[test]
fn an_id_that_is_idle_for_a_week_is_forgotten() {
    check(
        "init a
         init b
         add b 1/0 1
         wait 604800000
         add a 0/0 1
         show
         restart
         show",
        &expect![[r#"
            > init a
              append a Empty 0/0
              reply InitProducerId(Ok((0, 0)))
            > init b
              append b Empty 1/0
              reply InitProducerId(Ok((1, 0)))
            > add b 1/0 1
              append b Ongoing 1/0
              reply AddPartitions(Ok(()))
            > wait 604800000
              append b PrepareAbort 1/1
              markers ABORT 1/1 {"out": {1}}
              append b CompleteAbort 1/1
              append a tombstone
            > add a 0/0 1
              reply AddPartitions(Err(InvalidProducerIdMapping))
            > show
              b: CompleteAbort 1/1 {}
            > restart
            > show
              b: CompleteAbort 1/1 {}
        "#]],
    );
}

#[test]
fn a_partition_is_verified_only_inside_its_own_open_transaction() {
    check(
        "init a
         verify a 0/0 1
         add a 0/0 1
         verify a 0/0 1
         verify a 0/0 2
         verify a 0/1 1
         verify a 3/0 1
         verify z 0/0 1
         end a 0/0 commit
         verify a 0/0 1",
        &expect![[r#"
            > init a
              append a Empty 0/0
              reply InitProducerId(Ok((0, 0)))
            > verify a 0/0 1
              Err(TransactionAbortable)
            > add a 0/0 1
              append a Ongoing 0/0
              reply AddPartitions(Ok(()))
            > verify a 0/0 1
              Ok(())
            > verify a 0/0 2
              Err(TransactionAbortable)
            > verify a 0/1 1
              Err(ProducerFenced)
            > verify a 3/0 1
              Err(InvalidProducerIdMapping)
            > verify z 0/0 1
              Err(InvalidProducerIdMapping)
            > end a 0/0 commit
              append a PrepareCommit 0/0
              markers COMMIT 0/0 {"out": {1}}
              append a CompleteCommit 0/0
              reply EndTxn(Ok((0, 0)))
            > verify a 0/0 1
              Err(TransactionAbortable)
        "#]],
    );
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let ask = |transactional_id: &str, timeout_ms| {
        let request = TransactionRequest::InitProducerId {
            transactional_id: Some(transactional_id.to_owned()),
            timeout_ms,
            expected: None,
        };
        coordinator(0).handle(TransactionEvent::Request { token: 0, request }, 0)
    };
    for (id, timeout_ms, error) in [
        ("", 1, ResponseError::InvalidRequest),
        (&"x".repeat(MAX_ID_BYTES + 1), 1, ResponseError::InvalidRequest),
        ("a", 0, ResponseError::InvalidTransactionTimeout),
        ("a", 15 * 60 * 1000 + 1, ResponseError::InvalidTransactionTimeout),
    ] {
        let reply = TransactionReply::InitProducerId(Err(error));
        assert_eq!(
            ask(id, timeout_ms),
            [TransactionAction::Reply { token: 0, reply }]
        );
    }
}
