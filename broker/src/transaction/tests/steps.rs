//! Requests of one transaction after the other: what is logged, answered, refused.

use expect_test::expect;
use kafka_protocol::ResponseError;

use super::script::{check, coordinator};
use crate::coordinator_records::MAX_ID_BYTES;
use crate::transaction::{TransactionAction, TransactionEvent, TransactionReply, TransactionRequest};

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
