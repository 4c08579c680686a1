//! Groups that change their protocol while they are in use, step by step.

use std::collections::BTreeMap;

use bytes::Bytes;
use expect_test::expect;

use super::script::check;
use crate::coordinator_records::{FieldReader, FieldWriter};

/// Partitions by the name of their topic.
pub(super) type Named = BTreeMap<String, Vec<i32>>;

/// The metadata of a consumer that reads and holds these.
pub(super) fn subscription(topics: &[&str], owned: &Named) -> Bytes {
    let mut writer = FieldWriter::default();
    writer.i16(1).array_length(topics.len());
    for topic in topics {
        writer.string(topic);
    }
    writer.i32(-1);
    write_named(&mut writer, owned);
    writer.finish()
}

pub(super) fn read_subscription(bytes: &[u8]) -> (Vec<String>, Named) {
    let mut reader = FieldReader::new("Test", bytes);
    assert_eq!(reader.i16("version").unwrap(), 1);
    let count = reader.array_length("topics").unwrap();
    let topics = (0..count).map(|_| reader.string("topic").unwrap()).collect();
    assert_eq!(reader.i32("userData").unwrap(), -1);
    (topics, read_named(&mut reader))
}

pub(super) fn assignment(partitions: &Named) -> Bytes {
    let mut writer = FieldWriter::default();
    writer.i16(1);
    write_named(&mut writer, partitions);
    writer.i32(-1).finish()
}

pub(super) fn read_assignment(bytes: &[u8]) -> Named {
    let mut reader = FieldReader::new("Test", bytes);
    if bytes.is_empty() {
        return Named::new();
    }
    assert_eq!(reader.i16("version").unwrap(), 1);
    read_named(&mut reader)
}

fn write_named(writer: &mut FieldWriter, partitions: &Named) {
    writer.array_length(partitions.len());
    for (topic, partitions) in partitions {
        writer.string(topic).array_length(partitions.len());
        for partition in partitions {
            writer.i32(*partition);
        }
    }
}

fn read_named(reader: &mut FieldReader<'_>) -> Named {
    let mut named = Named::new();
    for _ in 0..reader.array_length("topics").unwrap() {
        let topic = reader.string("topic").unwrap();
        let count = reader.array_length("partitions").unwrap();
        let partitions = (0..count).map(|_| reader.i32("partition").unwrap()).collect();
        named.insert(topic, partitions);
    }
    named
}

#[test]
fn a_live_group_moves_to_the_consumer_protocol_and_back() {
    check(
        "topics t=4
         join a reads:t v3
         wait 100
         sync a 1 a=gives:t:0/1/2/3
         hb b 0 topics=t
         show
         beat a 1
         commit a 1 5
         commit a 2 5
         join a reads:t+t:0/1/2/3 v3
         sync a 1
         beat a 1
         join a reads:t+t:0/1 v3
         sync a 2
         beat a 2
         hb b 2 owned=
         commit a 2 6
         restart
         show
         beat a 2
         hb b -1
         show
         beat a 2
         commit a 2 7
         restart
         show
         beat a 2
         join a reads:t+t:0/1 v3
         sync a 3 a=gives:t:0/1/2/3
         beat a 3
         restart
         show",
        &expect![[r#"
            > topics t=4
            > join a reads:t v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=reads ([\"t\"], {})"]
            > sync a 1 a=gives:t:0/1/2/3
              append group generation 1 members ["a"]
              a: sync ok "{\"t\": [0, 1, 2, 3]}"
            > hb b 0 topics=t
              append group gone; member a; epoch 1; target a [t:0,1,2,3]; target 1; current a Stable 1; member b; epoch 2; target a [t:0,1]; target b [t:2,3]; target 2; current b UnreleasedPartitions 2
              b: epoch 2 []
            > show
              Reconciling epoch 2 target 2
                a-00000000-0000-0000-0000-000000000001 epoch 1 Stable has [t:0,1,2,3] revokes [] of [t:0,1]
                b epoch 2 UnreleasedPartitions has [] revokes [] of [t:2,3]
            > beat a 1
              a: beat RebalanceInProgress
            > commit a 1 5
              append t-0 at 5
              a: commit ok
            > commit a 2 5
              a: commit IllegalGeneration
            > join a reads:t+t:0/1/2/3 v3
              append member a; current a UnrevokedPartitions 1
              a: joined generation 1 leader  protocol range members []
            > sync a 1
              a: sync ok "{\"t\": [0, 1]}"
            > beat a 1
              a: beat RebalanceInProgress
            > join a reads:t+t:0/1 v3
              append member a; current a Stable 2
              a: joined generation 2 leader  protocol range members []
            > sync a 2
              a: sync ok "{\"t\": [0, 1]}"
            > beat a 2
              a: beat ok
            > hb b 2 owned=
              append current b Stable 2
              b: epoch 2 [t:2,3]
            > commit a 2 6
              append t-0 at 6
              a: commit ok
            > restart
            > show
              Stable epoch 2 target 2
                a-00000000-0000-0000-0000-000000000001 epoch 2 Stable has [t:0,1] revokes [] of [t:0,1]
                b epoch 2 Stable has [t:2,3] revokes [] of [t:2,3]
            > beat a 2
              a: beat ok
            > hb b -1
              append current a gone; target a gone; member a gone; current b gone; target b gone; member b gone; target gone; epoch gone; group generation 2 members ["a"]
              b: epoch -1 unchanged
            > show
              PreparingRebalance members ["a"] generation 2 committed Some(6) unstable false
            > beat a 2
              a: beat RebalanceInProgress
            > commit a 2 7
              append t-0 at 7
              a: commit ok
            > restart
            > show
              PreparingRebalance members ["a"] generation 2 committed Some(7) unstable false
            > beat a 2
              a: beat RebalanceInProgress
            > join a reads:t+t:0/1 v3
              a: joined generation 3 leader a protocol range members ["a=reads ([\"t\"], {\"t\": [0, 1]})"]
            > sync a 3 a=gives:t:0/1/2/3
              append group generation 3 members ["a"]
              a: sync ok "{\"t\": [0, 1, 2, 3]}"
            > beat a 3
              a: beat ok
            > restart
            > show
              Stable members ["a"] generation 3 committed Some(7) unstable false
        "#]],
    );
}

#[test]
fn who_waits_in_a_classic_group_is_told_to_come_again() {
    check(
        "topics t=2
         join a reads:t v3
         wait 100
         sync a 1 a=gives:t:0/1
         join b reads:t v3
         hb c 0 topics=t
         join b reads:t v3
         sync b 2
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
            > hb c 0 topics=t
              b: join RebalanceInProgress as "b"
              append group gone; member a; member b; epoch 1; target a [t:0,1]; target b []; target 1; current a Stable 1; current b Stable 1; member c; epoch 2; target a [t:0]; target b [t:1]; target c []; target 2; current c Stable 2
              c: epoch 2 []
            > join b reads:t v3
              append member b; current b UnreleasedPartitions 2
              b: joined generation 2 leader  protocol range members []
            > sync b 2
              b: sync ok "{}"
            > show
              Reconciling epoch 2 target 2
                a-00000000-0000-0000-0000-000000000001 epoch 1 Stable has [t:0,1] revokes [] of [t:0]
                b-00000000-0000-0000-0000-000000000002 epoch 2 UnreleasedPartitions has [] revokes [] of [t:1]
                c epoch 2 Stable has [] revokes [] of []
        "#]],
    );
}

#[test]
fn classic_members_that_do_not_come_back_are_given_up() {
    check(
        "topics t=2
         join a reads:t v3
         wait 100
         sync a 1 a=gives:t:0/1
         hb b 0 topics=t
         beat a 1
         wait 9000
         hb b 2 owned=
         beat a 1
         wait 9000
         beat a 1
         wait 9000
         beat a 1
         hb b 2
         wait 9000
         beat a 1
         wait 9000
         beat a 1
         hb b 2
         wait 9000
         beat a 1
         wait 7000
         show",
        &expect![[r#"
            > topics t=2
            > join a reads:t v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=reads ([\"t\"], {})"]
            > sync a 1 a=gives:t:0/1
              append group generation 1 members ["a"]
              a: sync ok "{\"t\": [0, 1]}"
            > hb b 0 topics=t
              append group gone; member a; epoch 1; target a [t:0,1]; target 1; current a Stable 1; member b; epoch 2; target a [t:0]; target b [t:1]; target 2; current b UnreleasedPartitions 2
              b: epoch 2 []
            > beat a 1
              a: beat RebalanceInProgress
            > wait 9000
            > hb b 2 owned=
              append current b UnreleasedPartitions 2
              b: epoch 2 unchanged
            > beat a 1
              a: beat RebalanceInProgress
            > wait 9000
            > beat a 1
              a: beat RebalanceInProgress
            > wait 9000
            > beat a 1
              a: beat RebalanceInProgress
            > hb b 2
              b: epoch 2 unchanged
            > wait 9000
            > beat a 1
              a: beat RebalanceInProgress
            > wait 9000
            > beat a 1
              a: beat RebalanceInProgress
            > hb b 2
              b: epoch 2 unchanged
            > wait 9000
            > beat a 1
              a: beat RebalanceInProgress
            > wait 7000
              append current a gone; target a gone; member a gone; epoch 3
            > show
              Assigning epoch 3 target 2
                b epoch 2 UnreleasedPartitions has [] revokes [] of [t:1]
        "#]],
    );
}

#[test]
fn a_member_that_joins_and_does_not_sync_is_given_up() {
    check(
        "topics t=2
         hb b 0 topics=t
         join a reads:t v3
         wait 9000
         beat a 2
         hb b 1 owned=t:0,1
         wait 9000
         beat a 2
         wait 9000
         beat a 2
         hb b 1 owned=t:0
         wait 9000
         beat a 2
         wait 9000
         beat a 2
         hb b 2
         wait 9000
         beat a 2
         wait 7000
         show",
        &expect![[r#"
            > topics t=2
            > hb b 0 topics=t
              append member b; epoch 1; target b [t:0,1]; target 1; current b Stable 1
              b: epoch 1 [t:0,1]
            > join a reads:t v3
              append member AAAAAAAAAAAAAAAAAAAAAQ; epoch 2; target AAAAAAAAAAAAAAAAAAAAAQ [t:1]; target b [t:0]; target 2; current AAAAAAAAAAAAAAAAAAAAAQ UnreleasedPartitions 2
              a: joined generation 2 leader  protocol range members []
            > wait 9000
            > beat a 2
              a: beat ok
            > hb b 1 owned=t:0,1
              append current b UnrevokedPartitions 1
              b: epoch 1 [t:0]
            > wait 9000
            > beat a 2
              a: beat ok
            > wait 9000
            > beat a 2
              a: beat ok
            > hb b 1 owned=t:0
              append current b Stable 2
              b: epoch 2 unchanged
            > wait 9000
            > beat a 2
              a: beat RebalanceInProgress
            > wait 9000
            > beat a 2
              a: beat RebalanceInProgress
            > hb b 2
              b: epoch 2 unchanged
            > wait 9000
            > beat a 2
              a: beat RebalanceInProgress
            > wait 7000
              append current a gone; target a gone; member a gone; epoch 3
            > show
              Assigning epoch 3 target 2
                b epoch 2 Stable has [t:0] revokes [] of [t:0]
        "#]],
    );
}

#[test]
fn static_members_keep_their_place_whatever_they_speak() {
    check(
        "topics t=2
         hb a 0 topics=t instance=i
         hb b 0 topics=t
         join c reads:t v9 i
         show
         sync c 3
         hb a 2 instance=i
         hb b -1
         show
         leave x i
         show
         hb d 0 topics=t instance=i
         join e reads:t v3
         join f reads:t v9 i
         show
         join f reads:t v9 i
         beat e 2
         join e reads:t v3
         show",
        &expect![[r#"
            > topics t=2
            > hb a 0 topics=t instance=i
              append member a; epoch 1; target a [t:0,1]; target 1; current a Stable 1
              a: epoch 1 [t:0,1]
            > hb b 0 topics=t
              append member b; epoch 2; target a [t:0]; target b [t:1]; target 2; current b UnreleasedPartitions 2
              b: epoch 2 []
            > join c reads:t v9 i
              append current a gone; target a gone; member a gone; member AAAAAAAAAAAAAAAAAAAAAQ; target AAAAAAAAAAAAAAAAAAAAAQ [t:0]; current AAAAAAAAAAAAAAAAAAAAAQ Stable 0; member AAAAAAAAAAAAAAAAAAAAAQ; current AAAAAAAAAAAAAAAAAAAAAQ Stable 2
              c: joined generation 2 leader  protocol range members []
            > show
              Reconciling epoch 2 target 2
                AAAAAAAAAAAAAAAAAAAAAQ epoch 2 Stable has [t:0] revokes [] of [t:0]
                b epoch 2 UnreleasedPartitions has [] revokes [] of [t:1]
            > sync c 3
              c: sync IllegalGeneration ""
            > hb a 2 instance=i
              a: FencedInstanceId: Static member a with instance id i was fenced by member c.
            > hb b -1
              append current c gone; target c gone; member c gone; current b gone; target b gone; member b gone; target gone; epoch gone; group generation 2 members ["c"]
              b: epoch -1 unchanged
            > show
              PreparingRebalance members ["c"] generation 2 committed None unstable false
            > leave x i
              append group generation 3 members []
              x: leave ok
            > show
              Empty members [] generation 3 committed None unstable false
            > hb d 0 topics=t instance=i
              append group gone; member d; epoch 1; target d [t:0,1]; target 1; current d Stable 1
              d: epoch 1 [t:0,1]
            > join e reads:t v3
              append member AAAAAAAAAAAAAAAAAAAAAg; epoch 2; target AAAAAAAAAAAAAAAAAAAAAg [t:1]; target d [t:0]; target 2; current AAAAAAAAAAAAAAAAAAAAAg UnreleasedPartitions 2
              e: joined generation 2 leader  protocol range members []
            > join f reads:t v9 i
              append current e gone; target e gone; member e gone; current d gone; target d gone; member d gone; target gone; epoch gone; group generation 2 members ["e"]
              f: join RebalanceInProgress as ""
            > show
              PreparingRebalance members ["e"] generation 2 committed None unstable false
            > join f reads:t v9 i
            > beat e 2
              e: beat RebalanceInProgress
            > join e reads:t v3
              e: joined generation 3 leader e protocol range members ["e=reads ([\"t\"], {})", "i-00000000-0000-0000-0000-000000000004=reads ([\"t\"], {})"]
              f: joined generation 3 leader e protocol range members []
            > show
              CompletingRebalance members ["e", "f"] generation 3 committed None unstable false
        "#]],
    );
}

#[test]
fn groups_that_are_no_consumers_stay_what_they_are() {
    check(
        "topics t=2
         join a opaque v3
         wait 100
         hb b 0 topics=t
         policy downgrade
         leave a
         join d reads:t v3
         wait 100
         sync d 3 d=gives:t:0/1
         hb b 0 topics=t
         policy upgrade
         hb b 0 topics=t
         join e opaque v3
         sync b 4
         beat b 4
         hb b -1
         wait 100
         show
         policy bidirectional
         wait 100
         show",
        &expect![[r#"
            > topics t=2
            > join a opaque v3
            > wait 100
              a: joined generation 1 leader a protocol range members ["a=opaque"]
            > hb b 0 topics=t
              b: GroupIdNotFound: Cannot upgrade classic group g to consumer group because the embedded consumer protocol is malformed.
            > policy downgrade
            > leave a
              append group generation 2 members []
              a: leave ok
            > join d reads:t v3
            > wait 100
              d: joined generation 3 leader d protocol range members ["d=reads ([\"t\"], {})"]
            > sync d 3 d=gives:t:0/1
              append group generation 3 members ["d"]
              d: sync ok "{\"t\": [0, 1]}"
            > hb b 0 topics=t
              b: GroupIdNotFound: Cannot upgrade classic group g to consumer group because online upgrade is disabled.
            > policy upgrade
            > hb b 0 topics=t
              append group gone; member d; epoch 3; target d [t:0,1]; target 3; current d Stable 3; member b; epoch 4; target b [t:1]; target d [t:0]; target 4; current b UnreleasedPartitions 4
              b: epoch 4 []
            > join e opaque v3
              e: join InconsistentGroupProtocol as ""
            > sync b 4
              b: sync UnknownMemberId ""
            > beat b 4
              b: beat UnknownMemberId
            > hb b -1
              append current b gone; target b gone; member b gone; epoch 5
              b: epoch -1 unchanged
            > wait 100
            > show
              Assigning epoch 5 target 4
                d-00000000-0000-0000-0000-000000000002 epoch 3 Stable has [t:0,1] revokes [] of [t:0]
            > policy bidirectional
            > wait 100
              append current d gone; target d gone; member d gone; target gone; epoch gone; group generation 5 members ["d"]
            > show
              PreparingRebalance members ["d"] generation 5 committed None unstable false
        "#]],
    );
}
