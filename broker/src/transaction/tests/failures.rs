//! Time that passes, logs that fail, and restarts.

use expect_test::expect;

use super::script::check;

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
