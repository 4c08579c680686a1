//! Producer ids and epochs: who is fenced, who keeps them, and when they rotate.

use expect_test::expect;

use super::script::check;

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
