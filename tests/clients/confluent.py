"""librdkafka through confluent-kafka: codecs, both group protocols, transactions, administration."""
import sys
import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType)

BROKER = sys.argv[1]
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
admin = AdminClient({"bootstrap.servers": BROKER})


def case(name):
    print("confluent-kafka:", name, flush=True)


def consume(count, partitions=3, **settings):
    """Records until `count` came and every partition ended."""
    consumer = Consumer({"bootstrap.servers": BROKER, "auto.offset.reset": "earliest", "enable.partition.eof": True,
                         "enable.auto.commit": False, **settings})
    consumer.subscribe(["librdkafka"])
    records, ended, deadline = [], set(), time.time() + 30
    while len(records) < count or len(ended) < partitions:
        assert time.time() < deadline, f"{len(records)} of {count} records, ends of {ended}"
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            ended.add(message.partition())
        else:
            ended.discard(message.partition())
            records.append(message)
    if records:
        consumer.commit(asynchronous=False)
    consumer.close()
    return records


case("create topics, describe and alter their configs")
[future.result() for future in admin.create_topics([NewTopic("librdkafka", 2, 1), NewTopic("gone", 1, 1)]).values()]
resource = ConfigResource(ResourceType.TOPIC, "librdkafka")
resource.add_incremental_config(
    ConfigEntry("retention.ms", "3600000", incremental_operation=AlterConfigOpType.SET))
admin.incremental_alter_configs([resource])[resource].result()
described = admin.describe_configs([ConfigResource(ResourceType.TOPIC, "librdkafka")])
assert list(described.values())[0].result()["retention.ms"].value == "3600000"
admin.create_partitions([NewPartitions("librdkafka", 3)])["librdkafka"].result()
admin.delete_topics(["gone"])["gone"].result()
assert "gone" not in admin.list_topics(timeout=10).topics
try:
    admin.create_topics([NewTopic("librdkafka", 1, 1)])["librdkafka"].result()
    raise AssertionError("a topic was created twice")
except KafkaException as error:
    assert error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS

case("produce with every codec, idempotent and not")
acked = []
for index, codec in enumerate(CODECS):
    producer = Producer({"bootstrap.servers": BROKER, "compression.type": codec, "linger.ms": 5,
                         "enable.idempotence": index % 2 == 0})
    for number in range(200):
        producer.produce("librdkafka", key=f"{codec}-{number}", value=codec * 50,
                         headers=[("n", str(number).encode())],
                         on_delivery=lambda error, message: acked.append((error, message)))
    assert producer.flush(20) == 0
assert len(acked) == 1000 and not any(error for error, _ in acked)

case("consume in a group of the classic protocol")
records = consume(1000, **{"group.id": "classic", "group.protocol": "classic"})
assert len(records) == 1000
assert all(record.value().decode() == record.key().decode().split("-")[0] * 50 for record in records)
assert all(record.headers() for record in records)

case("consume in a group of the consumer protocol (KIP-848)")
assert len(consume(1000, **{"group.id": "consumer", "group.protocol": "consumer"})) == 1000

case("a static member of each protocol comes back to its offsets")
for protocol in ["classic", "consumer"]:
    settings = {"group.id": protocol, "group.protocol": protocol, "group.instance.id": "one"}
    assert consume(0, **settings) == []
    assert consume(0, **settings) == []

case("transactions, committed and aborted, several of one producer")
producer = Producer({"bootstrap.servers": BROKER, "transactional.id": "transactional"})
producer.init_transactions(20)
for round in range(4):
    producer.begin_transaction()
    for number in range(10):
        producer.produce("librdkafka", value=f"transaction {round}")
    assert producer.flush(20) == 0
    if round % 2:
        producer.abort_transaction(20)
    else:
        producer.commit_transaction(20)
seen = consume(1020, **{"group.id": "committed", "isolation.level": "read_committed"})
assert len(seen) == 1020, len(seen)
values = {record.value().decode() for record in seen}
assert "transaction 0" in values and "transaction 2" in values
assert "transaction 1" not in values and "transaction 3" not in values
assert len(consume(1040, **{"group.id": "uncommitted", "isolation.level": "read_uncommitted"})) == 1040

case("offsets in a transaction")
consumer = Consumer({"bootstrap.servers": BROKER, "group.id": "eos", "auto.offset.reset": "earliest",
                     "enable.auto.commit": False})
consumer.subscribe(["librdkafka"])
message = None
while message is None or message.error():
    message = consumer.poll(1)
position = [TopicPartition("librdkafka", message.partition(), message.offset() + 1)]
for finish, expected in [(producer.abort_transaction, -1001), (producer.commit_transaction, message.offset() + 1)]:
    producer.begin_transaction()
    producer.send_offsets_to_transaction(position, consumer.consumer_group_metadata(), 20)
    finish(20)
    committed = consumer.committed([TopicPartition("librdkafka", message.partition())], 20)[0].offset
    assert committed == expected, (committed, expected)
consumer.close()

case("a second producer fences the first")
fencer = Producer({"bootstrap.servers": BROKER, "transactional.id": "transactional"})
fencer.init_transactions(20)
try:
    producer.begin_transaction()
    producer.produce("librdkafka", value="never")
    producer.commit_transaction(20)
    raise AssertionError("a fenced producer committed")
except KafkaException as error:
    assert error.args[0].code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH), error

case("list offsets, delete records, list, describe, alter and delete groups")
partition = TopicPartition("librdkafka", 0)
latest = list(admin.list_offsets({partition: OffsetSpec.latest()}).values())[0].result().offset
assert latest > 300
low = list(admin.delete_records([TopicPartition("librdkafka", 0, 100)]).values())[0].result().low_watermark
assert low == 100
assert list(admin.list_offsets({partition: OffsetSpec.earliest()}).values())[0].result().offset == 100
groups = {group.group_id for group in admin.list_consumer_groups().result().valid}
assert {"classic", "consumer", "eos"} <= groups, groups
described = admin.describe_consumer_groups(["classic", "consumer"])
assert all(future.result().group_id == name for name, future in described.items())
moved = ConsumerGroupTopicPartitions("uncommitted", [TopicPartition("librdkafka", 1, 5)])
admin.alter_consumer_group_offsets([moved])["uncommitted"].result()
listed = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("uncommitted")])["uncommitted"].result()
assert 5 in [found.offset for found in listed.topic_partitions if found.partition == 1]
admin.delete_consumer_groups(["uncommitted"])["uncommitted"].result()
