#!/usr/bin/env bash
# Kafka's own command-line tools. Arguments: the broker's address, the folder with the jars.
set -euo pipefail
broker=$1
jars=$2
fail() { echo "tools: $*" >&2; exit 1; }
tool() {
    local class=$1
    shift
    java -XX:TieredStopAtLevel=1 -cp "$jars/*" "$class" --bootstrap-server "$broker" "$@" 2>&1 | grep -v "^SLF4J" || [ "${PIPESTATUS[0]}" = 0 ] || fail "$class $*"
}
expect() {
    local pattern=$1 text
    text=$(cat)
    grep -q -- "$pattern" <<<"$text" || fail "no '$pattern' in: $text"
}

echo "tools: kafka-topics"
tool org.apache.kafka.tools.TopicCommand --create --topic tools --partitions 2 | expect 'Created topic tools'
tool org.apache.kafka.tools.TopicCommand --alter --topic tools --partitions 3
tool org.apache.kafka.tools.TopicCommand --describe --topic tools | expect 'PartitionCount: 3'
tool org.apache.kafka.tools.TopicCommand --list | expect '^tools$'

echo "tools: kafka-configs"
tool kafka.admin.ConfigCommand --alter --entity-type topics --entity-name tools --add-config retention.ms=5000000 | expect 'Completed updating'
tool kafka.admin.ConfigCommand --describe --entity-type topics --entity-name tools | expect 'retention.ms=5000000'

echo "tools: kafka-get-offsets, kafka-broker-api-versions, kafka-features, kafka-cluster"
seq 30 | kcat -b "$broker" -t tools -P
tool org.apache.kafka.tools.GetOffsetShell --topic tools | expect 'tools:2:'
tool org.apache.kafka.tools.BrokerApiVersionsCommand | expect 'Produce(0): 0 to 13'
tool org.apache.kafka.tools.FeatureCommand describe | expect 'transaction.version'
java -cp "$jars/*" org.apache.kafka.tools.ClusterTool cluster-id --bootstrap-server "$broker" | expect 'Cluster ID'

echo "tools: kafka-consumer-groups, kafka-groups"
timeout 30 kcat -b "$broker" -G tools -X auto.offset.reset=earliest -c 30 -q tools >/dev/null
tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --describe --group tools | expect 'tools  *2 '
tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --reset-offsets --to-earliest --group tools --topic tools --execute | expect 'tools'
tool org.apache.kafka.tools.GroupsCommand --list | expect 'tools'
tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --delete --group tools | expect 'successful'

echo "tools: kafka-transactions, kafka-log-dirs, kafka-metadata-quorum"
tool org.apache.kafka.tools.TransactionsCommand list | expect 'TransactionalId'
tool org.apache.kafka.tools.LogDirsCommand --describe --topic-list tools | expect '"partition":"tools-2"'
tool org.apache.kafka.tools.MetadataQuorumCommand describe --status | expect 'LeaderId'

echo "tools: kafka-acls without an authorizer, kafka-leader-election, kafka-delete-records"
(java -cp "$jars/*" org.apache.kafka.tools.AclCommand --bootstrap-server "$broker" --list 2>&1 || true) | expect 'SecurityDisabledException'
offsets=$(mktemp)
echo '{"partitions": [{"topic": "tools", "partition": 0, "offset": 1}], "version": 1}' >"$offsets"
tool org.apache.kafka.tools.DeleteRecordsCommand --offset-json-file "$offsets" | expect 'low_watermark: 1'
rm "$offsets"
tool org.apache.kafka.tools.TopicCommand --delete --topic tools
! tool org.apache.kafka.tools.TopicCommand --list | grep -qx tools || fail "a deleted topic is listed"
