//! Consumer groups and what is in the log: restarts, failed appends, groups that change their kind, offsets.

use expect_test::expect;

use super::script::check;

#[test]
fn a_restart_brings_back_everything_but_the_sessions() {
    check(
        "topics t=2
         hb a 0 topics=t
         hb b 0 topics=t
         commit b 2 5 v9
         wait 10000
         restart
         show
         hb a 1 owned=t:0
         hb b 2
         wait 44999
         wait 1
         show
         delete
         restart
         show",
        &expect![[r#"
            > topics t=2
            > hb a 0 topics=t
              append member a; epoch 1; target a [t:0,1]; target 1; current a Stable 1
              a: epoch 1 [t:0,1]
            > hb b 0 topics=t
              append member b; epoch 2; target a [t:0]; target b [t:1]; target 2; current b UnreleasedPartitions 2
              b: epoch 2 []
            > commit b 2 5 v9
              append t-0 at 5
              b: commit ok
            > wait 10000
            > restart
            > show
              Reconciling epoch 2 target 2
                a epoch 1 Stable has [t:0,1] revokes [] of [t:0]
                b epoch 2 UnreleasedPartitions has [] revokes [] of [t:1]
            > hb a 1 owned=t:0
              append current a Stable 2
              a: epoch 2 [t:0]
            > hb b 2
              append current b Stable 2
              b: epoch 2 [t:1]
            > wait 44999
            > wait 1
              append current a gone; target a gone; member a gone; current b gone; target b gone; member b gone; epoch 3
            > show
              Empty epoch 3 target 2
            > delete
              append t-0 gone; target gone; epoch gone
              admin: delete Ok(())
            > restart
            > show
              no group
        "#]],
    );
}

#[test]
fn empty_groups_change_their_kind_and_keep_their_offsets() {
    check(
        "topics t=1
         join a x v3
         wait 100
         sync a 1 a=all
         commit a 1 5
         hb b 0 topics=t
         leave a
         hb b 0 topics=t
         commit b 1 6 v9
         join a x v3
         delete
         hb b -1
         restart
         show
         join c x v3
         wait 100
         show
         restart
         show",
        &expect![[r#"
            > topics t=1
            > join a x v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=x"]
            > sync a 1 a=all
              append group generation 1 members ["a"]
              a: sync ok "all"
            > commit a 1 5
              append t-0 at 5
              a: commit ok
            > hb b 0 topics=t
              b: GroupIdNotFound: Cannot upgrade classic group g to consumer group because the embedded consumer protocol is malformed.
            > leave a
              append group generation 2 members []
              a: leave ok
            > hb b 0 topics=t
              append group gone; member b; epoch 1; target b [t:0]; target 1; current b Stable 1
              b: epoch 1 [t:0]
            > commit b 1 6 v9
              append t-0 at 6
              b: commit ok
            > join a x v3
              a: join InconsistentGroupProtocol as ""
            > delete
              admin: delete Err(NonEmptyGroup)
            > hb b -1
              append current b gone; target b gone; member b gone; epoch 2
              b: epoch -1 unchanged
            > restart
            > show
              Empty epoch 2 target 1
            > join c x v3
              append target gone; epoch gone
            > wait 100
              c: joined generation 1 leader c protocol range members ["c=x"]
            > show
              CompletingRebalance members ["c"] generation 1 committed Some(6) unstable false
            > restart
            > show
              Empty members [] generation 0 committed Some(6) unstable false
        "#]],
    );
}

#[test]
fn what_is_not_in_the_log_did_not_happen_and_others_wait_for_it() {
    check(
        "topics t=2
         fail on
         hb a 0 topics=t
         show
         fail off
         hold
         hb a 0 topics=t
         hb b 0 topics=t
         commit a 1 5 v9
         show
         release
         show
         fail on
         hb b -1
         show",
        &expect![[r#"
            > topics t=2
            > fail on
            > hb a 0 topics=t
              append member a; epoch 1; target a [t:0,1]; target 1; current a Stable 1 fails
              a: CoordinatorNotAvailable: CoordinatorNotAvailable
            > show
              no group
            > fail off
            > hold
            > hb a 0 topics=t
              append member a; epoch 1; target a [t:0,1]; target 1; current a Stable 1
            > hb b 0 topics=t
            > commit a 1 5 v9
            > show
              no group
            > release
              a: epoch 1 [t:0,1]
              append member b; epoch 2; target a [t:0]; target b [t:1]; target 2; current b UnreleasedPartitions 2
              b: epoch 2 []
              append t-0 at 5
              a: commit ok
            > show
              Reconciling epoch 2 target 2
                a epoch 1 Stable has [t:0,1] revokes [] of [t:0]
                b epoch 2 UnreleasedPartitions has [] revokes [] of [t:1]
            > fail on
            > hb b -1
              append current b gone; target b gone; member b gone; epoch 3 fails
              b: CoordinatorNotAvailable: CoordinatorNotAvailable
            > show
              Reconciling epoch 2 target 2
                a epoch 1 Stable has [t:0,1] revokes [] of [t:0]
                b epoch 2 UnreleasedPartitions has [] revokes [] of [t:1]
        "#]],
    );
}

#[test]
fn offsets_are_deleted_unless_their_topic_is_read() {
    check(
        "topics t=1 u=1
         delete-offsets t
         hb a 0 topics=u
         commit a 1 5 v9
         delete-offsets u
         delete-offsets t
         show
         restart
         commit a 1 6 v9
         topic-deleted t
         restart
         delete-offsets t",
        &expect![[r#"
            > topics t=1 u=1
            > delete-offsets t
              admin: GroupIdNotFound
            > hb a 0 topics=u
              append member a; epoch 1; target a [u:0]; target 1; current a Stable 1
              a: epoch 1 [u:0]
            > commit a 1 5 v9
              append t-0 at 5
              a: commit ok
            > delete-offsets u
              admin: delete-offsets GroupSubscribedToTopic
            > delete-offsets t
              append t-0 gone
              admin: delete-offsets ok
            > show
              Stable epoch 1 target 1
                a epoch 1 Stable has [u:0] revokes [] of [u:0]
            > restart
            > commit a 1 6 v9
              append t-0 at 6
              a: commit ok
            > topic-deleted t
              append t-0 gone
            > restart
            > delete-offsets t
              admin: delete-offsets ok
        "#]],
    );
}

#[test]
fn offsets_of_a_consumer_group_expire_unless_their_topic_is_read() {
    check(
        "topics t=1 u=1
         hb a 0 topics=u
         commit a 1 5 v9
         hb a -1
         wait 604799999
         wait 600000
         show",
        &expect![[r#"
            > topics t=1 u=1
            > hb a 0 topics=u
              append member a; epoch 1; target a [u:0]; target 1; current a Stable 1
              a: epoch 1 [u:0]
            > commit a 1 5 v9
              append t-0 at 5
              a: commit ok
            > hb a -1
              append current a gone; target a gone; member a gone; epoch 2
              a: epoch -1 unchanged
            > wait 604799999
            > wait 600000
              append t-0 gone; target gone; epoch gone
            > show
              no group
        "#]],
    );
}
