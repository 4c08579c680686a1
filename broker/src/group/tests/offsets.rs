//! Committed offsets: visibility, transactions, expiry, restarts.

use expect_test::expect;

use super::script::check;

#[test]
fn a_group_without_members_only_holds_offsets() {
    check(
        "commit - -1 5
         show
         commit - 3 6
         join a x v3
         commit - -1 7
         commit a -1 8
         delete
         show",
        &expect![[r#"
            > commit - -1 5
              append t-0 at 5
              -: commit ok
            > show
              Empty members [] generation 0 committed Some(5) unstable false
            > commit - 3 6
              -: commit UnknownMemberId
            > join a x v3
            > commit - -1 7
              -: commit UnknownMemberId
            > commit a -1 8
              a: commit UnknownMemberId
            > delete
              admin: delete Err(NonEmptyGroup)
            > show
              PreparingRebalance members ["a-00000000-0000-0000-0000-000000000001"] generation 0 committed Some(5) unstable false
        "#]],
    );
}

#[test]
fn a_member_whose_time_is_over_does_not_keep_its_group_from_being_deleted() {
    check(
        "join a x v3
         wait 100
         sync a 1 a=x
         pass 9999
         delete
         pass 1
         delete",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=x
              append group generation 1 members ["a"]
              a: sync ok "x"
            > pass 9999
            > delete
              admin: delete Err(NonEmptyGroup)
            > pass 1
            > delete
              append group generation 2 members []
              append group gone
              admin: delete Ok(())
        "#]],
    );
}

#[test]
fn a_commit_with_a_generation_to_a_group_that_is_not_there_is_refused() {
    check(
        "commit - 3 6
         commit - 3 6 v9
         txn-commit - 3 6 1
         show
         delete",
        &expect![[r#"
            > commit - 3 6
              -: commit IllegalGeneration
            > commit - 3 6 v9
              -: commit GroupIdNotFound
            > txn-commit - 3 6 1
              -: txn-commit IllegalGeneration
            > show
              no group
            > delete
              admin: delete Err(GroupIdNotFound)
        "#]],
    );
}

#[test]
fn offsets_of_a_transaction_wait_for_its_marker() {
    check(
        "txn-commit - -1 5 1
         show
         marker 1 commit
         show
         txn-commit - -1 6 1
         marker 1 abort
         show
         txn-commit - -1 7 1
         delete
         commit - -1 8
         marker 1 commit
         show",
        &expect![[r#"
            > txn-commit - -1 5 1
              append t-0 at 5
              -: txn-commit ok
            > show
              Empty members [] generation 0 committed None unstable true
            > marker 1 commit
            > show
              Empty members [] generation 0 committed Some(5) unstable false
            > txn-commit - -1 6 1
              append t-0 at 6
              -: txn-commit ok
            > marker 1 abort
            > show
              Empty members [] generation 0 committed Some(5) unstable false
            > txn-commit - -1 7 1
              append t-0 at 7
              -: txn-commit ok
            > delete
              admin: delete Err(NonEmptyGroup)
            > commit - -1 8
              append t-0 at 8
              -: commit ok
            > marker 1 commit
            > show
              Empty members [] generation 0 committed Some(8) unstable false
        "#]],
    );
}

#[test]
fn transactional_offsets_are_fenced_by_the_generation_but_not_by_a_rebalance() {
    check(
        "join a x v3
         wait 100
         txn-commit a 1 5 1
         txn-commit a 0 5 1
         txn-commit nobody 1 5 1
         txn-commit - -1 5 1
         marker 1 commit
         show",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > txn-commit a 1 5 1
              append t-0 at 5
              a: txn-commit ok
            > txn-commit a 0 5 1
              a: txn-commit IllegalGeneration
            > txn-commit nobody 1 5 1
              nobody: txn-commit UnknownMemberId
            > txn-commit - -1 5 1
              append t-0 at 5
              -: txn-commit ok
            > marker 1 commit
            > show
              CompletingRebalance members ["a"] generation 1 committed Some(5) unstable false
        "#]],
    );
}

#[test]
fn an_offset_that_is_not_in_the_log_was_not_committed() {
    check(
        "commit - -1 5
         fail on
         commit - -1 6
         txn-commit - -1 7 1
         fail off
         show",
        &expect![[r#"
            > commit - -1 5
              append t-0 at 5
              -: commit ok
            > fail on
            > commit - -1 6
              append t-0 at 6 fails
              -: commit CoordinatorNotAvailable
            > txn-commit - -1 7 1
              append t-0 at 7 fails
              -: txn-commit CoordinatorNotAvailable
            > fail off
            > show
              Empty members [] generation 0 committed Some(5) unstable false
        "#]],
    );
}

#[test]
fn a_restart_brings_back_members_offsets_and_open_transactions() {
    check(
        "join a x v3
         wait 100
         sync a 1 a=all
         commit a 1 5
         txn-commit a 1 6 1
         restart
         show
         beat a 1
         sync a 1
         marker 1 commit
         restart
         show
         wait 10000
         show",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > commit a 1 5
              append t-0 at 5
              a: commit ok
            > txn-commit a 1 6 1
              append t-0 at 6
              a: txn-commit ok
            > restart
            > show
              Stable members ["a"] generation 1 committed Some(5) unstable true
            > beat a 1
              a: beat ok
            > sync a 1
              a: sync ok "all"
            > marker 1 commit
            > restart
            > show
              Stable members ["a"] generation 1 committed Some(6) unstable false
            > wait 10000
              append group generation 2 members []
            > show
              Empty members [] generation 2 committed Some(6) unstable false
        "#]],
    );
}

#[test]
fn members_of_the_process_that_died_are_gone_after_a_restart() {
    check(
        "in-process
         join a x v3
         wait 100
         sync a 1 a=all
         restart
         show
         join b y v3
         wait 100",
        &expect![[r#"
            > in-process
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > restart
              append group generation 2 members []
            > show
              Empty members [] generation 2 committed None unstable false
            > join b y v3
            > wait 100
              b: joined generation 3 leader b protocol range members ["b=y"]
        "#]],
    );
}

#[test]
fn offsets_expire_a_week_after_their_group_was_left_and_the_group_with_them() {
    check(
        "commit - -1 5
         wait 604799999
         wait 600001
         show
         restart
         show",
        &expect![[r#"
            > commit - -1 5
              append t-0 at 5
              -: commit ok
            > wait 604799999
            > wait 600001
              append t-0 gone; group gone
            > show
              no group
            > restart
            > show
              no group
        "#]],
    );
}

#[test]
fn deleting_a_group_or_a_topic_is_logged() {
    check(
        "commit - -1 5
         topic-deleted t
         show
         commit - -1 6
         delete
         show
         delete
         restart
         show",
        &expect![[r#"
            > commit - -1 5
              append t-0 at 5
              -: commit ok
            > topic-deleted t
              append t-0 gone
            > show
              Empty members [] generation 0 committed None unstable false
            > commit - -1 6
              append t-0 at 6
              -: commit ok
            > delete
              append t-0 gone; group gone
              admin: delete Ok(())
            > show
              no group
            > delete
              admin: delete Err(GroupIdNotFound)
            > restart
            > show
              no group
        "#]],
    );
}
