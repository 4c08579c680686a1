//! Members and generations of classic groups.

use expect_test::expect;

use super::script::check;

#[test]
fn a_first_member_is_given_an_id_waits_for_others_and_leads() {
    check(
        "join a x
         join a x
         wait 99
         wait 1
         beat a 1
         sync a 1 a=all
         beat a 1
         beat a 2
         show",
        &expect![[r#"
            > join a x
              a: join MemberIdRequired as "a"
            > join a x
            > wait 99
            > wait 1
              a: joined generation 1 leader a protocol range members ["a=x"]
            > beat a 1
              a: beat ok
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > beat a 1
              a: beat ok
            > beat a 2
              a: beat IllegalGeneration
            > show
              Stable members ["a"] generation 1 committed None unstable false
        "#]],
    );
}

#[test]
fn the_first_delay_is_extended_while_members_come() {
    check(
        "join a x v3
         wait 50
         join b y v3
         wait 50
         wait 99
         wait 1",
        &expect![[r#"
            > join a x v3
            > wait 50
            > join b y v3
            > wait 50
            > wait 99
            > wait 1
              a: joined generation 1 leader a protocol range members ["a=x", "b-00000000-0000-0000-0000-000000000002=y"]
              b: joined generation 1 leader a protocol range members []
        "#]],
    );
}

#[test]
fn a_second_member_makes_the_first_rejoin_and_both_wait_for_the_leader() {
    check(
        "join a x v3
         wait 100
         sync a 1 a=all
         join b y v3
         beat a 1
         commit a 1 5
         join a x
         commit a 2 6
         sync b 2
         sync a 2 a=half b=other
         commit a 2 7
         commit a 1 8
         show",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > join b y v3
            > beat a 1
              a: beat RebalanceInProgress
            > commit a 1 5
              append t-0 at 5
              a: commit ok
            > join a x
              a: joined generation 2 leader a protocol range members ["a=x", "b-00000000-0000-0000-0000-000000000002=y"]
              b: joined generation 2 leader a protocol range members []
            > commit a 2 6
              a: commit RebalanceInProgress
            > sync b 2
            > sync a 2 a=half b=other
              append group generation 2 members ["a", "b"]
              a: sync ok "half"
              b: sync ok "other"
            > commit a 2 7
              append t-0 at 7
              a: commit ok
            > commit a 1 8
              a: commit IllegalGeneration
            > show
              Stable members ["a", "b"] generation 2 committed Some(7) unstable false
        "#]],
    );
}

#[test]
fn a_follower_that_joins_again_unchanged_does_not_disturb_and_a_leader_does() {
    check(
        "join a x v3
         wait 100
         sync a 1 a=all
         join b y v3
         join a x
         sync a 2 a=1 b=2
         sync b 2
         join b y
         join b z
         join a x
         sync b 3
         sync a 3 a=1
         join a x",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > join b y v3
            > join a x
              a: joined generation 2 leader a protocol range members ["a=x", "b-00000000-0000-0000-0000-000000000002=y"]
              b: joined generation 2 leader a protocol range members []
            > sync a 2 a=1 b=2
              append group generation 2 members ["a", "b"]
              a: sync ok "1"
            > sync b 2
              b: sync ok "2"
            > join b y
              b: joined generation 2 leader a protocol range members []
            > join b z
            > join a x
              a: joined generation 3 leader a protocol range members ["a=x", "b=z"]
              b: joined generation 3 leader a protocol range members []
            > sync b 3
            > sync a 3 a=1
              append group generation 3 members ["a", "b"]
              a: sync ok "1"
              b: sync ok ""
            > join a x
        "#]],
    );
}

#[test]
fn members_that_do_not_come_back_or_do_not_sync_are_dropped() {
    check(
        "join a x v3
         wait 100
         sync a 1 a=all
         join b y v3
         wait 9000
         beat a 1
         wait 9000
         beat a 1
         wait 42000
         show
         join c z v3
         join b y
         sync c 3
         wait 60000
         show",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > join b y v3
            > wait 9000
            > beat a 1
              a: beat RebalanceInProgress
            > wait 9000
            > beat a 1
              a: beat RebalanceInProgress
            > wait 42000
              b: joined generation 2 leader b protocol range members ["b=y"]
            > show
              CompletingRebalance members ["b"] generation 2 committed None unstable false
            > join c z v3
            > join b y
              b: joined generation 3 leader b protocol range members ["b=y", "c-00000000-0000-0000-0000-000000000003=z"]
              c: joined generation 3 leader b protocol range members []
            > sync c 3
            > wait 60000
              c: sync RebalanceInProgress ""
            > show
              PreparingRebalance members ["c"] generation 3 committed None unstable false
        "#]],
    );
}

#[test]
fn a_silent_member_expires_and_the_last_one_leaves_an_empty_generation() {
    check(
        "join a x v3
         wait 100
         sync a 1 a=all
         wait 9999
         show
         wait 1
         show
         beat a 1
         join a x",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > wait 9999
            > show
              Stable members ["a"] generation 1 committed None unstable false
            > wait 1
              append group generation 2 members []
            > show
              Empty members [] generation 2 committed None unstable false
            > beat a 1
              a: beat UnknownMemberId
            > join a x
              a: join UnknownMemberId as "a"
        "#]],
    );
}

#[test]
fn an_id_that_was_given_out_is_waited_for_until_it_lapses() {
    check(
        "join a x v3
         wait 100
         sync a 1 a=all
         join b y
         join c z v3
         join a x
         wait 10000
         show",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > join b y
              b: join MemberIdRequired as "b"
            > join c z v3
            > join a x
            > wait 10000
              a: joined generation 2 leader a protocol range members ["a=x", "c-00000000-0000-0000-0000-000000000003=z"]
              c: joined generation 2 leader a protocol range members []
            > show
              CompletingRebalance members ["a", "c"] generation 2 committed None unstable false
        "#]],
    );
}

#[test]
fn leaving_rebalances_and_an_unknown_member_is_told() {
    check(
        "join a x v3
         join b y v3
         wait 100
         wait 100
         sync a 1 a=1 b=2
         sync b 1
         leave b
         beat a 1
         join a x
         leave nobody
         sync b 2",
        &expect![[r#"
            > join a x v3
            > join b y v3
            > wait 100
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x", "b-00000000-0000-0000-0000-000000000002=y"]
              b: joined generation 1 leader a protocol range members []
            > sync a 1 a=1 b=2
              append group generation 1 members ["a", "b"]
              a: sync ok "1"
            > sync b 1
              b: sync ok "2"
            > leave b
              b: leave ok
            > beat a 1
              a: beat RebalanceInProgress
            > join a x
              a: joined generation 2 leader a protocol range members ["a=x"]
            > leave nobody
              nobody: leave UnknownMemberId
            > sync b 2
              b: sync UnknownMemberId ""
        "#]],
    );
}

#[test]
fn members_agree_on_a_protocol_or_are_refused() {
    check(
        "join a range=1,sticky=2 v3
         join b sticky=3,range=4 v3
         join c other=5 v3
         join d sticky=6 v3
         wait 100
         wait 100",
        &expect![[r#"
            > join a range=1,sticky=2 v3
            > join b sticky=3,range=4 v3
            > join c other=5 v3
              c: join InconsistentGroupProtocol as ""
            > join d sticky=6 v3
            > wait 100
            > wait 100
              a: joined generation 1 leader a protocol sticky members ["a=2", "b-00000000-0000-0000-0000-000000000002=3", "d-00000000-0000-0000-0000-000000000004=6"]
              b: joined generation 1 leader a protocol sticky members []
              d: joined generation 1 leader a protocol sticky members []
        "#]],
    );
}

#[test]
fn an_assignment_that_could_not_be_logged_is_not_given_out() {
    check(
        "join a x v3
         wait 100
         fail on
         sync a 1 a=all
         fail off
         show
         join a x
         sync a 2 a=all
         show",
        &expect![[r#"
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > fail on
            > sync a 1 a=all
              append group generation 1 members ["a"] fails
              a: sync CoordinatorNotAvailable ""
            > fail off
            > show
              PreparingRebalance members ["a"] generation 1 committed None unstable false
            > join a x
              a: joined generation 2 leader a protocol range members ["a=x"]
            > sync a 2 a=all
              append group generation 2 members ["a"]
              a: sync ok "all"
            > show
              Stable members ["a"] generation 2 committed None unstable false
        "#]],
    );
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_its_old_self_is_fenced() {
    check(
        "join a x v9 one
         wait 100
         sync a 1 a=all
         join again x v9 one
         sync a 1
         beat again 1
         join again x v8 one
         leave admin one
         show",
        &expect![[r#"
            > join a x v9 one
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > join again x v9 one
              append group generation 1 members ["one-00000000-0000-0000-0000-000000000002"]
              again: joined generation 1 leader again protocol range members ["again=x"] skip
            > sync a 1
              a: sync UnknownMemberId ""
            > beat again 1
              again: beat ok
            > join again x v8 one
              append group generation 1 members ["one-00000000-0000-0000-0000-000000000003"]
              again: joined generation 1 leader one-00000000-0000-0000-0000-000000000002 protocol range members []
            > leave admin one
              append group generation 2 members []
              admin: leave ok
            > show
              Empty members [] generation 2 committed None unstable false
        "#]],
    );
}
