//! Streams groups: topologies, internal topics, tasks and the way to them.
//!
//! A topology is `EPOCH/PART;PART`, a part `ID|src=t,u|sink=r|rsrc=r,q:3|store=c|co=s0.s1.r0`: source topics, repartition
//! topics written and read (with a fixed number of partitions), changelogs, and one copartition group of indexes.
//! Tasks are `ID:0,1/ID:2`, active and after `+` standby.

use expect_test::expect;

use super::script::{check, error};
use crate::group::{StreamsGroup, StreamsRecord, TaskMap, Tasks};
use crate::protocol::streams_heartbeat::*;

fn topic_infos(names: &str) -> Vec<TopicInfo> {
    let infos = names.split(',').map(|name| {
        let (name, partitions) = name.split_once(':').unwrap_or((name, "0"));
        TopicInfo {
            name: name.to_owned(),
            partitions: partitions.parse().unwrap(),
            ..TopicInfo::default()
        }
    });
    infos.collect()
}

fn part(text: &str) -> Subtopology {
    let mut fields = text.split('|');
    let mut part = Subtopology {
        subtopology_id: fields.next().unwrap().to_owned(),
        ..Subtopology::default()
    };
    for field in fields {
        let (key, value) = field.split_once('=').unwrap();
        let names = || value.split(',').map(str::to_owned).collect();
        match key {
            "src" => part.source_topics = names(),
            "sink" => part.repartition_sink_topics = names(),
            "rsrc" => part.repartition_source_topics = topic_infos(value),
            "store" => part.state_changelog_topics = topic_infos(value),
            "co" => {
                let mut group = CopartitionGroup::default();
                for index in value.split('.') {
                    match index.split_at(1) {
                        ("s", index) => group.source_topics.push(index.parse().unwrap()),
                        (_, index) => group.repartition_source_topics.push(index.parse().unwrap()),
                    }
                }
                part.copartition_groups.push(group);
            }
            other => panic!("no field {other}"),
        }
    }
    for topic in &mut part.state_changelog_topics {
        topic.topic_configs.push(KeyValue {
            key: "cleanup.policy".to_owned(),
            value: "compact".to_owned(),
        });
    }
    part
}

fn tasks(text: &str) -> Vec<TaskIds> {
    let parts = text.split('/').filter(|part| !part.is_empty()).map(|part| {
        let (id, partitions) = part.split_once(':').unwrap();
        TaskIds {
            subtopology_id: id.to_owned(),
            partitions: partitions.split(',').map(|task| task.parse().unwrap()).collect(),
        }
    });
    parts.collect()
}

pub(super) fn heartbeat(group: &str, words: &[&str]) -> StreamsGroupHeartbeatRequest {
    let epoch = words[2].parse().unwrap();
    let joins = epoch == 0;
    let mut request = StreamsGroupHeartbeatRequest {
        group_id: group.to_owned(),
        member_id: words[1].to_owned(),
        member_epoch: epoch,
        endpoint_information_epoch: -1,
        rebalance_timeout_ms: if joins { 60_000 } else { -1 },
        process_id: joins.then(|| format!("process-{}", words[1])),
        active_tasks: joins.then(Vec::new),
        standby_tasks: joins.then(Vec::new),
        warmup_tasks: joins.then(Vec::new),
        ..StreamsGroupHeartbeatRequest::default()
    };
    for word in &words[3..] {
        match word.split_once('=').unwrap_or((word, "")) {
            ("topology", text) => {
                let (epoch, parts) = text.split_once('/').unwrap();
                request.topology = Some(Topology {
                    epoch: epoch.parse().unwrap(),
                    subtopologies: parts.split(';').map(part).collect(),
                });
            }
            ("owned", text) => {
                let (active, standby) = text.split_once('+').unwrap_or((text, ""));
                request.active_tasks = Some(tasks(active));
                request.standby_tasks = Some(tasks(standby));
                request.warmup_tasks = Some(Vec::new());
            }
            ("process", process) => request.process_id = Some(process.to_owned()),
            ("endpoint", host) => {
                let host = host.to_owned();
                request.user_endpoint = Some(Endpoint { host, port: 40_000 });
            }
            ("endpoints", epoch) => request.endpoint_information_epoch = epoch.parse().unwrap(),
            ("shutdown", _) => request.shutdown_application = true,
            (other, _) => panic!("no field {other}"),
        }
    }
    request
}

fn show_ids(ids: &[TaskIds]) -> String {
    let shown = ids.iter().map(|ids| {
        let partitions: Vec<String> = ids.partitions.iter().map(i32::to_string).collect();
        format!("{}:{}", ids.subtopology_id, partitions.join(","))
    });
    shown.collect::<Vec<_>>().join("/")
}

fn show_map(tasks: &TaskMap) -> String {
    let ids: Vec<TaskIds> = tasks
        .iter()
        .map(|(of, partitions)| TaskIds {
            subtopology_id: of.clone(),
            partitions: partitions.iter().copied().collect(),
        })
        .collect();
    show_ids(&ids)
}

fn show_tasks(tasks: &Tasks) -> String {
    format!("[{}+{}]", show_map(&tasks.active), show_map(&tasks.standby))
}

pub(super) fn show_reply(response: &StreamsGroupHeartbeatResponse) -> String {
    if response.error_code != 0 {
        let message = response.error_message.as_deref().unwrap_or_default();
        return format!("{}: {message}", error(response.error_code));
    }
    let mut shown = format!("epoch {}", response.member_epoch);
    if let (Some(active), Some(standby)) = (&response.active_tasks, &response.standby_tasks) {
        shown += &format!(" tasks [{}+{}]", show_ids(active), show_ids(standby));
    }
    for status in response.status.iter().flatten() {
        shown += &format!(" status {}: {}", status.status_code, status.status_detail);
    }
    for at in response.partitions_by_user_endpoint.iter().flatten() {
        let topics = at.active_partitions.iter().chain(&at.standby_partitions);
        let topics: Vec<String> = topics
            .map(|of| format!("{}{:?}", of.topic, of.partitions))
            .collect();
        shown += &format!(
            " at {} {} endpoints {}",
            at.user_endpoint.host,
            topics.join(" "),
            response.endpoint_information_epoch
        );
    }
    shown
}

pub(super) fn show_record(record: StreamsRecord) -> String {
    match record {
        StreamsRecord::Group(Some(group)) => {
            let (epoch, topology) = (group.epoch, group.validated_topology_epoch);
            format!("epoch {epoch} topology {topology}")
        }
        StreamsRecord::Topology(Some(topology)) => format!("topology {}", topology.epoch),
        StreamsRecord::Member(id, Some(_)) => format!("member {id}"),
        StreamsRecord::TargetEpoch(Some(epoch)) => format!("target {epoch}"),
        StreamsRecord::Target(id, Some(tasks)) => format!("target {id} {}", show_tasks(&tasks)),
        StreamsRecord::Current(id, Some(current)) => {
            format!("current {id} {:?} {}", current.state, current.epoch)
        }
        other => format!("{other:?}"),
    }
}

pub(super) fn show(group: &StreamsGroup) -> String {
    let (epoch, target) = (group.epoch(), group.assignment_epoch());
    let mut shown = format!("  {} epoch {epoch} target {target}\n", group.state().name());
    for member in group.members() {
        let current = &member.current;
        let target = group
            .target(&member.member_id)
            .map_or_else(String::new, show_tasks);
        let (has, revokes) = (show_tasks(&current.assigned), show_tasks(&current.revoking));
        let (id, epoch, state) = (&member.member_id, current.epoch, current.state);
        shown += &format!("    {id} epoch {epoch} {state:?} has {has} revokes {revokes} of {target}\n");
    }
    shown
}

#[test]
fn a_word_count_gets_its_topics_and_then_its_tasks() {
    check(
        "shb a 0 topology=1/0|src=t|sink=r;1|rsrc=r|store=c
         topics t=2
         shb a 1
         shb a 2
         topics t=2 r=2 c=2
         shb a 2
         shb a 3 owned=0:0,1/1:0,1
         show",
        &expect![[r#"
            > shb a 0 topology=1/0|src=t|sink=r;1|rsrc=r|store=c
              append member a; topology 1; epoch 1 topology -1; target a [+]; target 1; current a Stable 1
              a: epoch 1 tasks [+] status 1: Source topics t are missing.
            > topics t=2
            > shb a 1
              append epoch 2 topology -1; target 2; current a Stable 2
              a: epoch 2 status 3: Internal topics are missing: [c, r]
              create c with 2 {"cleanup.policy": "compact"}
              create r with 2 {}
            > shb a 2
              a: epoch 2 status 3: Internal topics are missing: [c, r]
              create c with 2 {"cleanup.policy": "compact"}
              create r with 2 {}
            > topics t=2 r=2 c=2
            > shb a 2
              append epoch 3 topology 1; target a [0:0,1/1:0,1+]; target 3; current a Stable 3
              a: epoch 3 tasks [0:0,1/1:0,1+]
            > shb a 3 owned=0:0,1/1:0,1
              a: epoch 3
            > show
              Stable epoch 3 target 3
                a epoch 3 Stable has [0:0,1/1:0,1+] revokes [+] of [0:0,1/1:0,1+]
        "#]],
    );
}

#[test]
fn a_task_moves_when_its_process_has_let_go_of_it() {
    check(
        "topics t=2
         shb a 0 topology=1/0|src=t
         shb b 0 topology=1/0|src=t
         shb b 2
         shb a 1 owned=0:0,1
         shb a 1 owned=0:0
         shb b 2 owned=
         show
         shb b -1
         shb a 2
         wait 45000
         show
         restart
         show",
        &expect![[r#"
            > topics t=2
            > shb a 0 topology=1/0|src=t
              append member a; topology 1; epoch 1 topology 1; target a [0:0,1+]; target 1; current a Stable 1
              a: epoch 1 tasks [0:0,1+]
            > shb b 0 topology=1/0|src=t
              append member b; epoch 2 topology 1; target a [0:0+]; target b [0:1+]; target 2; current b UnreleasedPartitions 2
              b: epoch 2 tasks [+]
            > shb b 2
              append current b UnreleasedPartitions 2
              b: epoch 2
            > shb a 1 owned=0:0,1
              append current a UnrevokedPartitions 1
              a: epoch 1 tasks [0:0+]
            > shb a 1 owned=0:0
              append current a Stable 2
              a: epoch 2
            > shb b 2 owned=
              append current b Stable 2
              b: epoch 2 tasks [0:1+]
            > show
              Stable epoch 2 target 2
                a epoch 2 Stable has [0:0+] revokes [+] of [0:0+]
                b epoch 2 Stable has [0:1+] revokes [+] of [0:1+]
            > shb b -1
              append Current("b", None); Target("b", None); Member("b", None); epoch 3 topology 1
              b: epoch -1
            > shb a 2
              append target a [0:0,1+]; target 3; current a Stable 3
              a: epoch 3 tasks [0:0,1+]
            > wait 45000
              append Current("a", None); Target("a", None); Member("a", None); epoch 4 topology 1
            > show
              Empty epoch 4 target 3
            > restart
            > show
              Empty epoch 4 target 3
        "#]],
    );
}

#[test]
fn standbys_are_on_other_processes() {
    check(
        "topics t=2 c=2
         standbys 1
         shb a 0 topology=1/0|src=t|store=c
         shb b 0 topology=1/0|src=t|store=c
         shb a 1 owned=0:0
         shb b 2 owned=
         shb a 2 owned=0:0
         show
         restart
         show
         standbys 0
         shb a 2
         show",
        &expect![[r#"
            > topics t=2 c=2
            > standbys 1
            > shb a 0 topology=1/0|src=t|store=c
              append member a; topology 1; epoch 1 topology 1; target a [0:0,1+]; target 1; current a Stable 1
              a: epoch 1 tasks [0:0,1+]
            > shb b 0 topology=1/0|src=t|store=c
              append member b; epoch 2 topology 1; target a [0:0+0:1]; target b [0:1+0:0]; target 2; current b UnreleasedPartitions 2
              b: epoch 2 tasks [+0:0]
            > shb a 1 owned=0:0
              append current a UnreleasedPartitions 2
              a: epoch 2 tasks [0:0+]
            > shb b 2 owned=
              append current b Stable 2
              b: epoch 2 tasks [0:1+0:0]
            > shb a 2 owned=0:0
              append current a Stable 2
              a: epoch 2 tasks [0:0+0:1]
            > show
              Stable epoch 2 target 2
                a epoch 2 Stable has [0:0+0:1] revokes [+] of [0:0+0:1]
                b epoch 2 Stable has [0:1+0:0] revokes [+] of [0:1+0:0]
            > restart
            > show
              Stable epoch 2 target 2
                a epoch 2 Stable has [0:0+0:1] revokes [+] of [0:0+0:1]
                b epoch 2 Stable has [0:1+0:0] revokes [+] of [0:1+0:0]
            > standbys 0
            > shb a 2
              append epoch 3 topology 1; target a [0:0+]; target b [0:1+]; target 3; current a UnrevokedPartitions 2
              a: epoch 2 tasks [0:0+]
            > show
              Reconciling epoch 3 target 3
                a epoch 2 UnrevokedPartitions has [0:0+] revokes [+0:1] of [0:0+]
                b epoch 2 Stable has [0:1+0:0] revokes [+] of [0:1+]
        "#]],
    );
}

#[test]
fn copartitioned_topics_must_fit() {
    check(
        "topics t=2 u=3
         shb a 0 topology=1/0|src=t,u|co=s0.s1
         shb a -1
         delete
         shb a 0 topology=1/0|src=u|sink=r;1|src=t|rsrc=r|co=s0.r0
         shb a -1
         delete
         shb a 0 topology=1/1|src=t|rsrc=r:3|co=s0.r0
         shb a -1
         delete
         topics t=2 c=3
         shb a 0 topology=1/0|src=t|store=c
         shb a -1
         delete
         shb a 0 topology=1/0|src=t|sink=r,q;1|rsrc=r:4,q|co=r0.r1",
        &expect![[r#"
            > topics t=2 u=3
            > shb a 0 topology=1/0|src=t,u|co=s0.s1
              append member a; topology 1; epoch 1 topology -1; target a [+]; target 1; current a Stable 1
              a: epoch 1 tasks [+] status 2: Following topics do not have the same number of partitions: [{t=2, u=3}]
            > shb a -1
              append Current("a", None); Target("a", None); Member("a", None); epoch 2 topology -1
              a: epoch -1
            > delete
              append TargetEpoch(None); Topology(None); Group(None)
              admin: delete Ok(())
            > shb a 0 topology=1/0|src=u|sink=r;1|src=t|rsrc=r|co=s0.r0
              append member a; topology 1; epoch 1 topology -1; target a [+]; target 1; current a Stable 1
              a: epoch 1 tasks [+] status 3: Internal topics are missing: [r]
              create r with 2 {}
            > shb a -1
              append Current("a", None); Target("a", None); Member("a", None); epoch 2 topology -1
              a: epoch -1
            > delete
              append TargetEpoch(None); Topology(None); Group(None)
              admin: delete Ok(())
            > shb a 0 topology=1/1|src=t|rsrc=r:3|co=s0.r0
              append member a; topology 1; epoch 1 topology -1; target a [+]; target 1; current a Stable 1
              a: epoch 1 tasks [+] status 2: Number of partitions [3] of repartition topic [r] doesn't match number of partitions [2] of the source topic.
            > shb a -1
              append Current("a", None); Target("a", None); Member("a", None); epoch 2 topology -1
              a: epoch -1
            > delete
              append TargetEpoch(None); Topology(None); Group(None)
              admin: delete Ok(())
            > topics t=2 c=3
            > shb a 0 topology=1/0|src=t|store=c
              append member a; topology 1; epoch 1 topology -1; target a [+]; target 1; current a Stable 1
              a: epoch 1 tasks [+] status 2: Existing topic c has different number of partitions: expected 2, found 3
            > shb a -1
              append Current("a", None); Target("a", None); Member("a", None); epoch 2 topology -1
              a: epoch -1
            > delete
              append TargetEpoch(None); Topology(None); Group(None)
              admin: delete Ok(())
            > shb a 0 topology=1/0|src=t|sink=r,q;1|rsrc=r:4,q|co=r0.r1
              append member a; topology 1; epoch 1 topology -1; target a [+]; target 1; current a Stable 1
              a: epoch 1 tasks [+] status 3: Internal topics are missing: [q, r]
              create q with 4 {}
              create r with 4 {}
        "#]],
    );
}

#[test]
fn topologies_that_make_no_sense_are_refused() {
    check(
        "topics t=2
         shb a 0
         shb a 0 topology=1/0|rsrc=r
         shb a 0 topology=1/0|rsrc=r|sink=r
         shb a 0 topology=1/0|src=t|co=s1
         shb a 0 topology=1/0|src=t|rsrc=r:20000
         shb a 0 topology=1/0|store=c
         shb a 0 topology=1/0|src=t|store=c:3
         shb a 1
         shb a 0 topology=2/0|src=t
         shb a 0 topology=3/0|src=t
         shb b 0 topology=1/0|src=u
         shb a 1 owned=9:0
         shb a 1 owned=0:7
         shb a 9
         hb x 0 topics=t
         join y x v3",
        &expect![[r#"
            > topics t=2
            > shb a 0
              a: InvalidRequest: Topology must be non-null when (re-)joining.
            > shb a 0 topology=1/0|rsrc=r
              a: StreamsInvalidTopology: Failed to compute number of partitions for all repartition topics, because a repartition source topic is never used as a sink topic.
            > shb a 0 topology=1/0|rsrc=r|sink=r
              a: StreamsInvalidTopology: Failed to compute number of partitions for all repartition topics. There may be loops in the topology that cannot be resolved.
            > shb a 0 topology=1/0|src=t|co=s1
              a: StreamsInvalidTopology: A copartition group of subtopology 0 has a wrong index.
            > shb a 0 topology=1/0|src=t|rsrc=r:20000
              a: StreamsInvalidTopology: Repartition topic r cannot have 20000 partitions.
            > shb a 0 topology=1/0|store=c
              a: StreamsInvalidTopology: No source topics found for subtopology 0
            > shb a 0 topology=1/0|src=t|store=c:3
              a: StreamsInvalidTopology: Changelog topic c must have an undefined partition count, but it is set to 3.
            > shb a 1
              a: GroupIdNotFound: Streams group g not found.
            > shb a 0 topology=2/0|src=t
              append member a; topology 2; epoch 1 topology 2; target a [0:0,1+]; target 1; current a Stable 1
              a: epoch 1 tasks [0:0,1+]
            > shb a 0 topology=3/0|src=t
              a: InvalidRequest: Topology updates are not supported yet.
            > shb b 0 topology=1/0|src=u
              append member b; epoch 2 topology 2; target a [0:0+]; target b [0:1+]; target 2; current b UnreleasedPartitions 2
              b: epoch 2 tasks [+] status 0: The member's topology epoch 1 is behind the group's topology epoch 2.
            > shb a 1 owned=9:0
              a: InvalidRequest: Subtopology 9 does not exist in the topology.
            > shb a 1 owned=0:7
              a: InvalidRequest: Task 7 for subtopology 0 is invalid. Number of tasks for this subtopology: 2
            > shb a 9
              a: FencedMemberEpoch: The streams group member has a greater member epoch (9) than the one known by the group coordinator (1). The member must abandon all its partitions and rejoin.
            > hb x 0 topics=t
              x: GroupIdNotFound: Group g is not a consumer group.
            > join y x v3
              y: join InconsistentGroupProtocol as ""
        "#]],
    );
}

#[test]
fn endpoints_and_a_shutdown_are_told_to_all() {
    check(
        "topics t=2
         shb a 0 topology=1/0|src=t endpoint=h
         shb a 1 endpoints=0
         shb b 0 topology=1/0|src=t
         shb b 2 shutdown
         shb a 1 owned=0:0,1 endpoints=0
         shb a -1
         shb b -1
         shb b 0 topology=1/0|src=t",
        &expect![[r#"
            > topics t=2
            > shb a 0 topology=1/0|src=t endpoint=h
              append member a; topology 1; epoch 1 topology 1; target a [0:0,1+]; target 1; current a Stable 1
              a: epoch 1 tasks [0:0,1+] at h t[0, 1] endpoints 0
            > shb a 1 endpoints=0
              a: epoch 1
            > shb b 0 topology=1/0|src=t
              append member b; epoch 2 topology 1; target a [0:0+]; target b [0:1+]; target 2; current b UnreleasedPartitions 2
              b: epoch 2 tasks [+] at h t[0, 1] endpoints 0
            > shb b 2 shutdown
              append current b UnreleasedPartitions 2
              b: epoch 2 status 4: Streams group member b encountered a fatal error and requested a shutdown for the entire application. at h t[0, 1] endpoints 0
            > shb a 1 owned=0:0,1 endpoints=0
              append current a UnrevokedPartitions 1
              a: epoch 1 tasks [0:0+] status 4: Streams group member b encountered a fatal error and requested a shutdown for the entire application. at h t[0] endpoints 1
            > shb a -1
              append Current("a", None); Target("a", None); Member("a", None); epoch 3 topology 1
              a: epoch -1
            > shb b -1
              append Current("b", None); Target("b", None); Member("b", None); epoch 4 topology 1
              b: epoch -1
            > shb b 0 topology=1/0|src=t
              append member b; epoch 5 topology 1; target b [0:0,1+]; target 5; current b Stable 5
              b: epoch 5 tasks [0:0,1+]
        "#]],
    );
}

#[test]
fn offsets_follow_the_epochs_of_members() {
    check(
        "topics t=1
         shb a 0 topology=1/0|src=t
         commit a 1 5 v9
         commit a 0 5 v9
         commit b 1 5 v9
         txn-commit a 1 6 7
         txn-commit a 0 6 7
         delete-offsets t
         shb a -1
         restart
         shb a 0 topology=1/0|src=t
         show",
        &expect![[r#"
            > topics t=1
            > shb a 0 topology=1/0|src=t
              append member a; topology 1; epoch 1 topology 1; target a [0:0+]; target 1; current a Stable 1
              a: epoch 1 tasks [0:0+]
            > commit a 1 5 v9
              append t-0 at 5
              a: commit ok
            > commit a 0 5 v9
              a: commit StaleMemberEpoch
            > commit b 1 5 v9
              b: commit UnknownMemberId
            > txn-commit a 1 6 7
              append t-0 at 6
              a: txn-commit ok
            > txn-commit a 0 6 7
              a: txn-commit IllegalGeneration
            > delete-offsets t
              admin: delete-offsets GroupSubscribedToTopic
            > shb a -1
              append Current("a", None); Target("a", None); Member("a", None); epoch 2 topology 1
              a: epoch -1
            > restart
            > shb a 0 topology=1/0|src=t
              append member a; epoch 3 topology 1; target a [0:0+]; target 3; current a Stable 3
              a: epoch 3 tasks [0:0+]
            > show
              Stable epoch 3 target 3
                a epoch 3 Stable has [0:0+] revokes [+] of [0:0+]
        "#]],
    );
}
