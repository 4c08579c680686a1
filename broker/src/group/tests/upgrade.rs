//! What members hold in a classic group that becomes a consumer group while it is rebalancing: nobody is given what another may
//! still be reading.

use expect_test::expect;

use super::script::check;

#[test]
fn who_gave_up_everything_keeps_its_last_assignment_until_it_joins() {
    check(
        "topics t=2
         join a reads:t v3
         wait 100
         sync a 1 a=gives:t:0/1
         join a reads:t v3
         hb b 0 topics=t
         sync a 2
         join a reads:t v3
         sync a 3
         hb b 3",
        &expect![[r#"
            > topics t=2
            > join a reads:t v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=reads ([\"t\"], {})"]
            > sync a 1 a=gives:t:0/1
              append group generation 1 members ["a"]
              a: sync ok "{\"t\": [0, 1]}"
            > join a reads:t v3
              a: joined generation 2 leader a protocol range members ["a=reads ([\"t\"], {})"]
            > hb b 0 topics=t
              append group gone; member a; epoch 2; target a [t:0,1]; target 2; current a Stable 2; member b; epoch 3; target a [t:0]; target b [t:1]; target 3; current b UnreleasedPartitions 3
              b: epoch 3 []
            > sync a 2
              a: sync RebalanceInProgress ""
            > join a reads:t v3
              append member a; current a Stable 3
              a: joined generation 3 leader  protocol range members []
            > sync a 3
              a: sync ok "{\"t\": [0]}"
            > hb b 3
              append current b Stable 3
              b: epoch 3 [t:1]
        "#]],
    );
}

#[test]
fn who_keeps_what_it_reads_while_it_joins_is_waited_for() {
    check(
        "topics t=3
         join a reads:t v3
         wait 100
         sync a 1 a=gives:t:0/1/2
         join b reads:t v3
         join a reads:t+t:0/1/2 v3
         join c reads:t v3
         hb d 0 topics=t
         show
         join a reads:t+t:0/1/2 v3
         sync a 2
         join a reads:t+t:0 v3
         hb d 3
         show",
        &expect![[r#"
            > topics t=3
            > join a reads:t v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=reads ([\"t\"], {})"]
            > sync a 1 a=gives:t:0/1/2
              append group generation 1 members ["a"]
              a: sync ok "{\"t\": [0, 1, 2]}"
            > join b reads:t v3
            > join a reads:t+t:0/1/2 v3
              a: joined generation 2 leader a protocol range members ["a=reads ([\"t\"], {\"t\": [0, 1, 2]})", "b-00000000-0000-0000-0000-000000000002=reads ([\"t\"], {})"]
              b: joined generation 2 leader a protocol range members []
            > join c reads:t v3
            > hb d 0 topics=t
              c: join RebalanceInProgress as "c"
              append group gone; member a; member b; member c; epoch 2; target a [t:0,1,2]; target b []; target c []; target 2; current a Stable 2; current b Stable 2; current c Stable 2; member d; epoch 3; target a [t:0]; target b [t:1]; target c [t:2]; target d []; target 3; current d Stable 3
              d: epoch 3 []
            > show
              Reconciling epoch 3 target 3
                a-00000000-0000-0000-0000-000000000001 epoch 2 Stable has [t:0,1,2] revokes [] of [t:0]
                b-00000000-0000-0000-0000-000000000002 epoch 2 Stable has [] revokes [] of [t:1]
                c-00000000-0000-0000-0000-000000000004 epoch 2 Stable has [] revokes [] of [t:2]
                d epoch 3 Stable has [] revokes [] of []
            > join a reads:t+t:0/1/2 v3
              append member a; current a UnrevokedPartitions 2
              a: joined generation 2 leader  protocol range members []
            > sync a 2
              a: sync ok "{\"t\": [0]}"
            > join a reads:t+t:0 v3
              append member a; current a Stable 3
              a: joined generation 3 leader  protocol range members []
            > hb d 3
              d: epoch 3 unchanged
            > show
              Reconciling epoch 3 target 3
                a-00000000-0000-0000-0000-000000000001 epoch 3 Stable has [t:0] revokes [] of [t:0]
                b-00000000-0000-0000-0000-000000000002 epoch 2 Stable has [] revokes [] of [t:1]
                c-00000000-0000-0000-0000-000000000004 epoch 2 Stable has [] revokes [] of [t:2]
                d epoch 3 Stable has [] revokes [] of []
        "#]],
    );
}

#[test]
fn who_has_not_joined_again_may_still_read_what_it_read_before() {
    check(
        "topics t=2
         join a reads:t v3
         wait 100
         sync a 1 a=gives:t:0/1
         join b reads:t v3
         join a reads:t+t:0/1 v3
         sync a 2 a=gives:t:0
         hb c 0 topics=t
         show
         restart
         join a reads:t+t:0 v3
         hb c 3
         show",
        &expect![[r#"
            > topics t=2
            > join a reads:t v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=reads ([\"t\"], {})"]
            > sync a 1 a=gives:t:0/1
              append group generation 1 members ["a"]
              a: sync ok "{\"t\": [0, 1]}"
            > join b reads:t v3
            > join a reads:t+t:0/1 v3
              a: joined generation 2 leader a protocol range members ["a=reads ([\"t\"], {\"t\": [0, 1]})", "b-00000000-0000-0000-0000-000000000002=reads ([\"t\"], {})"]
              b: joined generation 2 leader a protocol range members []
            > sync a 2 a=gives:t:0
              append group generation 2 members ["a", "b"]
              a: sync ok "{\"t\": [0]}"
            > hb c 0 topics=t
              append group gone; member a; member b; epoch 2; target a [t:0,1]; target b []; target 2; current a Stable 2; current b Stable 2; member c; epoch 3; target a [t:0]; target b [t:1]; target c []; target 3; current c Stable 3
              c: epoch 3 []
            > show
              Reconciling epoch 3 target 3
                a-00000000-0000-0000-0000-000000000001 epoch 2 Stable has [t:0,1] revokes [] of [t:0]
                b-00000000-0000-0000-0000-000000000002 epoch 2 Stable has [] revokes [] of [t:1]
                c epoch 3 Stable has [] revokes [] of []
            > restart
            > join a reads:t+t:0 v3
              append member a; current a Stable 3
              a: joined generation 3 leader  protocol range members []
            > hb c 3
              c: epoch 3 unchanged
            > show
              Reconciling epoch 3 target 3
                a-00000000-0000-0000-0000-000000000001 epoch 3 Stable has [t:0] revokes [] of [t:0]
                b-00000000-0000-0000-0000-000000000002 epoch 2 Stable has [] revokes [] of [t:1]
                c epoch 3 Stable has [] revokes [] of []
        "#]],
    );
}

#[test]
fn a_partition_that_two_members_claim_is_held_by_who_was_assigned_it() {
    check(
        "topics t=2
         join a reads:t v3
         join b reads:t+t:0/1 v3
         wait 100
         wait 100
         sync a 1 a=gives:t:0/1
         sync b 1
         hb c 0 topics=t
         show",
        &expect![[r#"
            > topics t=2
            > join a reads:t v3
            > join b reads:t+t:0/1 v3
            > wait 100
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=reads ([\"t\"], {})", "b-00000000-0000-0000-0000-000000000002=reads ([\"t\"], {\"t\": [0, 1]})"]
              b: joined generation 1 leader a protocol range members []
            > sync a 1 a=gives:t:0/1
              append group generation 1 members ["a", "b"]
              a: sync ok "{\"t\": [0, 1]}"
            > sync b 1
              b: sync ok ""
            > hb c 0 topics=t
              append group gone; member a; member b; epoch 1; target a [t:0,1]; target b []; target 1; current a Stable 1; current b Stable 1; member c; epoch 2; target a [t:0]; target b [t:1]; target c []; target 2; current c Stable 2
              c: epoch 2 []
            > show
              Reconciling epoch 2 target 2
                a-00000000-0000-0000-0000-000000000001 epoch 1 Stable has [t:0,1] revokes [] of [t:0]
                b-00000000-0000-0000-0000-000000000002 epoch 1 Stable has [] revokes [] of [t:1]
                c epoch 2 Stable has [] revokes [] of []
        "#]],
    );
}
