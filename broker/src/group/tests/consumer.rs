//! Consumer groups: epochs, targets and the way to them.

use expect_test::expect;

use super::script::check;

#[test]
fn a_second_member_gets_a_partition_when_the_first_has_let_go_of_it() {
    check(
        "topics t=2
         hb a 0 topics=t
         hb a 1
         hb b 0 topics=t
         hb b 2
         hb a 1 owned=t:0,1
         show
         hb a 1
         hb b 2
         hb a 1 owned=t:0
         hb b 2
         hb a 1 owned=t:0
         show
         hb a 2 topics=t owned=t:0 timeout=60000
         commit a 2 5 v9
         commit a 1 6 v9
         commit a 2 6 v8
         commit - -1 7 v9",
        &expect![[r#"
            > topics t=2
            > hb a 0 topics=t
              append member a; epoch 1; target a [t:0,1]; target 1; current a Stable 1
              a: epoch 1 [t:0,1]
            > hb a 1
              a: epoch 1 unchanged
            > hb b 0 topics=t
              append member b; epoch 2; target a [t:0]; target b [t:1]; target 2; current b UnreleasedPartitions 2
              b: epoch 2 []
            > hb b 2
              append current b UnreleasedPartitions 2
              b: epoch 2 unchanged
            > hb a 1 owned=t:0,1
              append current a UnrevokedPartitions 1
              a: epoch 1 [t:0]
            > show
              Reconciling epoch 2 target 2
                a epoch 1 UnrevokedPartitions has [t:0] revokes [t:1] of [t:0]
                b epoch 2 UnreleasedPartitions has [] revokes [] of [t:1]
            > hb a 1
              a: epoch 1 unchanged
            > hb b 2
              b: epoch 2 unchanged
            > hb a 1 owned=t:0
              append current a Stable 2
              a: epoch 2 unchanged
            > hb b 2
              append current b Stable 2
              b: epoch 2 [t:1]
            > hb a 1 owned=t:0
              a: epoch 2 unchanged
            > show
              Stable epoch 2 target 2
                a epoch 2 Stable has [t:0] revokes [] of [t:0]
                b epoch 2 Stable has [t:1] revokes [] of [t:1]
            > hb a 2 topics=t owned=t:0 timeout=60000
              a: epoch 2 [t:0]
            > commit a 2 5 v9
              append t-0 at 5
              a: commit ok
            > commit a 1 6 v9
              a: commit StaleMemberEpoch
            > commit a 2 6 v8
              a: commit UnsupportedVersion
            > commit - -1 7 v9
              -: commit UnknownMemberId
        "#]],
    );
}

#[test]
fn members_that_leave_are_silent_or_do_not_revoke_are_given_up() {
    check(
        "topics t=4
         hb a 0 topics=t
         hb b 0 topics=t timeout=1000
         hb c 0 topics=t
         hb c -1
         hb c 3
         hb a 1 owned=t:0,1,2,3
         hb a 1 owned=t:0,1
         hb b 4
         wait 44999
         hb a 4
         wait 1
         show
         hb a 4
         hb b 0 topics=t timeout=1000
         hb a 5 owned=t:0,1,2,3
         wait 40000
         hb a 5 owned=t:0,1,2,3
         hb b 6
         wait 19999
         hb b 6
         wait 1
         hb a 5
         show
         hb b -1
         show",
        &expect![[r#"
            > topics t=4
            > hb a 0 topics=t
              append member a; epoch 1; target a [t:0,1,2,3]; target 1; current a Stable 1
              a: epoch 1 [t:0,1,2,3]
            > hb b 0 topics=t timeout=1000
              append member b; epoch 2; target a [t:0,1]; target b [t:2,3]; target 2; current b UnreleasedPartitions 2
              b: epoch 2 []
            > hb c 0 topics=t
              append member c; epoch 3; target b [t:2]; target c [t:3]; target 3; current c UnreleasedPartitions 3
              c: epoch 3 []
            > hb c -1
              append current c gone; target c gone; member c gone; epoch 4
              c: epoch -1 unchanged
            > hb c 3
              c: UnknownMemberId: Member c is not a member of group g.
            > hb a 1 owned=t:0,1,2,3
              append target b [t:2,3]; target 4; current a UnrevokedPartitions 1
              a: epoch 1 [t:0,1]
            > hb a 1 owned=t:0,1
              append current a Stable 4
              a: epoch 4 unchanged
            > hb b 4
              b: FencedMemberEpoch: The consumer group member has a greater member epoch (4) than the one known by the group coordinator (2). The member must abandon all its partitions and rejoin.
            > wait 44999
            > hb a 4
              a: epoch 4 unchanged
            > wait 1
              append current b gone; target b gone; member b gone; epoch 5
            > show
              Assigning epoch 5 target 4
                a epoch 4 Stable has [t:0,1] revokes [] of [t:0,1]
            > hb a 4
              append target a [t:0,1,2,3]; target 5; current a Stable 5
              a: epoch 5 [t:0,1,2,3]
            > hb b 0 topics=t timeout=1000
              append member b; epoch 6; target a [t:0,1]; target b [t:2,3]; target 6; current b UnreleasedPartitions 6
              b: epoch 6 []
            > hb a 5 owned=t:0,1,2,3
              append current a UnrevokedPartitions 5
              a: epoch 5 [t:0,1]
            > wait 40000
            > hb a 5 owned=t:0,1,2,3
              a: epoch 5 unchanged
            > hb b 6
              append current b UnreleasedPartitions 6
              b: epoch 6 unchanged
            > wait 19999
            > hb b 6
              b: epoch 6 unchanged
            > wait 1
              append current a gone; target a gone; member a gone; epoch 7
            > hb a 5
              a: UnknownMemberId: Member a is not a member of group g.
            > show
              Assigning epoch 7 target 6
                b epoch 6 UnreleasedPartitions has [] revokes [] of [t:2,3]
            > hb b -1
              append current b gone; target b gone; member b gone; epoch 8
              b: epoch -1 unchanged
            > show
              Empty epoch 8 target 6
        "#]],
    );
}

#[test]
fn requests_that_make_no_sense_are_refused_with_kafkas_words() {
    check(
        "topics t=1
         hb a 1
         hb a 0
         hb a 0 topics=t owned=t:0
         hb a 0 topics=t assignor=best
         hb a 0 regex=(
         hb a 0 topics=t timeout=-1
         hb a -2
         hb a -3
         hb a 0 topics=t
         hb b 1
         hb a 2
         hb b 0 topics=t
         hb a 1 owned=t:0
         hb a 0 topics=t",
        &expect![[r#"
            > topics t=1
            > hb a 1
              a: GroupIdNotFound: Consumer group g not found.
            > hb a 0
              a: InvalidRequest: Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.
            > hb a 0 topics=t owned=t:0
              a: InvalidRequest: TopicPartitions must be empty when (re-)joining.
            > hb a 0 topics=t assignor=best
              a: UnsupportedAssignor: ServerAssignor best is not supported. Supported assignors: uniform, range.
            > hb a 0 regex=(
              a: InvalidRegularExpression: SubscribedTopicRegex `(` is not a valid regular expression: unclosed group.
            > hb a 0 topics=t timeout=-1
              a: InvalidRequest: RebalanceTimeoutMs must be provided in first request.
            > hb a -2
              a: InvalidRequest: InstanceId can't be null.
            > hb a -3
              a: InvalidRequest: MemberEpoch is invalid.
            > hb a 0 topics=t
              append member a; epoch 1; target a [t:0]; target 1; current a Stable 1
              a: epoch 1 [t:0]
            > hb b 1
              b: UnknownMemberId: Member b is not a member of group g.
            > hb a 2
              a: FencedMemberEpoch: The consumer group member has a greater member epoch (2) than the one known by the group coordinator (1). The member must abandon all its partitions and rejoin.
            > hb b 0 topics=t
              append member b; epoch 2; target b []; target 2; current b Stable 2
              b: epoch 2 []
            > hb a 1 owned=t:0
              append current a Stable 2
              a: epoch 2 unchanged
            > hb a 0 topics=t
              a: FencedMemberEpoch: The consumer group member has a smaller member epoch (0) than the one known by the group coordinator (2). The member must abandon all its partitions and rejoin.
        "#]],
    );
}

#[test]
fn an_answer_that_was_lost_is_given_again() {
    check(
        "topics t=2
         hb a 0 topics=t
         hb a 0 topics=t
         topics t=3
         hb a 1
         hb a 1 owned=t:0,1
         hb a 2 topics=t owned=t:0,1 timeout=60000",
        &expect![[r#"
            > topics t=2
            > hb a 0 topics=t
              append member a; epoch 1; target a [t:0,1]; target 1; current a Stable 1
              a: epoch 1 [t:0,1]
            > hb a 0 topics=t
              a: epoch 1 [t:0,1]
            > topics t=3
            > hb a 1
              append epoch 2; target a [t:0,1,2]; target 2; current a Stable 2
              a: epoch 2 [t:0,1,2]
            > hb a 1 owned=t:0,1
              a: epoch 2 unchanged
            > hb a 2 topics=t owned=t:0,1 timeout=60000
              a: epoch 2 [t:0,1,2]
        "#]],
    );
}

#[test]
fn a_static_member_that_left_for_a_while_gets_its_partitions_back() {
    check(
        "topics t=2
         hb a 0 topics=t instance=i
         hb b 0 topics=t instance=i
         hb a -2 instance=i
         show
         hb b 0 topics=t instance=i
         hb a 1 instance=i
         hb x 1 instance=j
         show
         hb b -1 instance=i
         show",
        &expect![[r#"
            > topics t=2
            > hb a 0 topics=t instance=i
              append member a; epoch 1; target a [t:0,1]; target 1; current a Stable 1
              a: epoch 1 [t:0,1]
            > hb b 0 topics=t instance=i
              b: UnreleasedInstanceId: Static member b with instance id i cannot join the group because the instance id is owned by a member.
            > hb a -2 instance=i
              append current a Stable -2
              a: epoch -2 unchanged
            > show
              Reconciling epoch 1 target 1
                a epoch -2 Stable has [t:0,1] revokes [] of [t:0,1]
            > hb b 0 topics=t instance=i
              append current a gone; target a gone; member a gone; member b; target b [t:0,1]; current b Stable 0; member b; current b Stable 1
              b: epoch 1 [t:0,1]
            > hb a 1 instance=i
              a: FencedInstanceId: Static member a with instance id i was fenced by member b.
            > hb x 1 instance=j
              x: UnknownMemberId: Instance id j is unknown.
            > show
              Stable epoch 1 target 1
                b epoch 1 Stable has [t:0,1] revokes [] of [t:0,1]
            > hb b -1 instance=i
              append current b gone; target b gone; member b gone; epoch 2
              b: epoch -1 unchanged
            > show
              Empty epoch 2 target 1
        "#]],
    );
}

#[test]
fn topics_that_come_go_and_grow_move_the_group_on() {
    check(
        "topics t=1
         hb a 0 topics=t,u
         hb a 1
         topics t=1 u=1
         hb a 1
         topics t=1 u=2
         hb a 2
         topics t=1 u=2 other=1
         hb a 3
         topics u=2
         hb a 3 owned=t:0;u:0,1
         hb a 3 owned=u:0,1
         topics u!=1
         hb a 4 owned=
         show",
        &expect![[r#"
            > topics t=1
            > hb a 0 topics=t,u
              append member a; epoch 1; target a [t:0]; target 1; current a Stable 1
              a: epoch 1 [t:0]
            > hb a 1
              a: epoch 1 unchanged
            > topics t=1 u=1
            > hb a 1
              append epoch 2; target a [t:0 u:0]; target 2; current a Stable 2
              a: epoch 2 [t:0 u:0]
            > topics t=1 u=2
            > hb a 2
              append epoch 3; target a [t:0 u:0,1]; target 3; current a Stable 3
              a: epoch 3 [t:0 u:0,1]
            > topics t=1 u=2 other=1
            > hb a 3
              a: epoch 3 unchanged
            > topics u=2
            > hb a 3 owned=t:0;u:0,1
              append epoch 4; target a [u:0,1]; target 4; current a UnrevokedPartitions 3
              a: epoch 3 [u:0,1]
            > hb a 3 owned=u:0,1
              append current a Stable 4
              a: epoch 4 unchanged
            > topics u!=1
            > hb a 4 owned=
              append epoch 5; target a [U:0]; target 5; current a Stable 5
              a: epoch 5 [U:0]
            > show
              Stable epoch 5 target 5
                a epoch 5 Stable has [U:0] revokes [] of [U:0]
        "#]],
    );
}

#[test]
fn a_regular_expression_follows_the_topics_that_match_it() {
    check(
        "topics ax=1 b=1
         hb m 0 regex=a.*
         topics ax=1 b=1 ay=1
         hb m 1
         hb n 0 regex=b|a.*
         hb m 2 regex=b owned=x:0
         hb m 2 owned=
         hb n 3
         show
         hb m -1
         restart
         hb n 4
         show",
        &expect![[r#"
            > topics ax=1 b=1
            > hb m 0 regex=a.*
              append member m; regex a.* {"ax"}; epoch 1; target m [x:0]; target 1; current m Stable 1
              m: epoch 1 [x:0]
            > topics ax=1 b=1 ay=1
            > hb m 1
              append regex a.* {"ax", "ay"}; epoch 2; target m [x:0 y:0]; target 2; current m Stable 2
              m: epoch 2 [x:0 y:0]
            > hb n 0 regex=b|a.*
              append member n; regex b|a.* {"ax", "ay", "b"}; epoch 3; target n [b:0]; target 3; current n Stable 3
              n: epoch 3 [b:0]
            > hb m 2 regex=b owned=x:0
              append member m; regex b {"b"}; regex a.* gone; epoch 4; target m [b:0]; target n [x:0 y:0]; target 4; current m UnrevokedPartitions 2
              m: epoch 2 []
            > hb m 2 owned=
              append current m UnreleasedPartitions 4
              m: epoch 4 unchanged
            > hb n 3
              append current n UnrevokedPartitions 3
              n: epoch 3 []
            > show
              Reconciling epoch 4 target 4
                m epoch 4 UnreleasedPartitions has [] revokes [] of [b:0]
                n epoch 3 UnrevokedPartitions has [] revokes [b:0] of [x:0 y:0]
            > hb m -1
              append current m gone; target m gone; member m gone; regex b gone; epoch 5
              m: epoch -1 unchanged
            > restart
            > hb n 4
              n: FencedMemberEpoch: The consumer group member has a greater member epoch (4) than the one known by the group coordinator (3). The member must abandon all its partitions and rejoin.
            > show
              Assigning epoch 5 target 4
                n epoch 3 UnrevokedPartitions has [] revokes [b:0] of [x:0 y:0]
        "#]],
    );
}

#[test]
fn an_assignor_is_chosen_by_the_members() {
    check(
        "topics t=2 u=2
         hb a 0 topics=t,u assignor=range
         hb b 0 topics=t,u assignor=range
         show",
        &expect![[r#"
            > topics t=2 u=2
            > hb a 0 topics=t,u assignor=range
              append member a; epoch 1; target a [t:0,1 u:0,1]; target 1; current a Stable 1
              a: epoch 1 [t:0,1 u:0,1]
            > hb b 0 topics=t,u assignor=range
              append member b; epoch 2; target a [t:0 u:0]; target b [t:1 u:1]; target 2; current b UnreleasedPartitions 2
              b: epoch 2 []
            > show
              Reconciling epoch 2 target 2
                a epoch 1 Stable has [t:0,1 u:0,1] revokes [] of [t:0 u:0]
                b epoch 2 UnreleasedPartitions has [] revokes [] of [t:1 u:1]
        "#]],
    );
}

#[test]
fn a_member_that_no_longer_reads_a_topic_gives_it_up_at_once() {
    check(
        "topics t=1 u=1
         hb a 0 topics=t,u
         hb b 0 topics=t
         hb a 1 topics=u owned=t:0;u:0
         hb b 2
         hb a 1 owned=u:0
         hb b 3
         show",
        &expect![[r#"
            > topics t=1 u=1
            > hb a 0 topics=t,u
              append member a; epoch 1; target a [t:0 u:0]; target 1; current a Stable 1
              a: epoch 1 [t:0 u:0]
            > hb b 0 topics=t
              append member b; epoch 2; target a [u:0]; target b [t:0]; target 2; current b UnreleasedPartitions 2
              b: epoch 2 []
            > hb a 1 topics=u owned=t:0;u:0
              append member a; epoch 3; target 3; current a UnrevokedPartitions 1
              a: epoch 1 [u:0]
            > hb b 2
              append current b UnreleasedPartitions 3
              b: epoch 3 unchanged
            > hb a 1 owned=u:0
              append current a Stable 3
              a: epoch 3 unchanged
            > hb b 3
              append current b Stable 3
              b: epoch 3 [t:0]
            > show
              Stable epoch 3 target 3
                a epoch 3 Stable has [u:0] revokes [] of [u:0]
                b epoch 3 Stable has [t:0] revokes [] of [t:0]
        "#]],
    );
}

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
              b: GroupIdNotFound: Group g is not a consumer group.
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
              a: join InconsistentGroupProtocol as "a"
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
