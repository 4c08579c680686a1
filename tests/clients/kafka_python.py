"""kafka-python: codecs, groups, transactions, administration."""
import sys
import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewPartitions, NewTopic

BROKER = sys.argv[1]


def case(name):
    print("kafka-python:", name, flush=True)


def consume(count, group, **settings):
    consumer = KafkaConsumer("python", bootstrap_servers=BROKER, group_id=group, auto_offset_reset="earliest",
                             enable_auto_commit=False, **settings)
    records, deadline = [], time.time() + 30
    while len(records) < count:
        assert time.time() < deadline, f"{len(records)} of {count} records"
        for batch in consumer.poll(500).values():
            records.extend(batch)
    consumer.commit()
    assert not consumer.poll(300), "more records than were expected"
    consumer.close()
    return records


case("administer topics")
admin = KafkaAdminClient(bootstrap_servers=BROKER)
admin.create_topics([NewTopic("python", 2, 1), NewTopic("python-gone", 1, 1)])
admin.create_partitions({"python": NewPartitions(3)})
admin.delete_topics(["python-gone"])
assert "python" in admin.list_topics() and "python-gone" not in admin.list_topics()
admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "python")])

case("produce with every codec")
for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
    producer = KafkaProducer(bootstrap_servers=BROKER, compression_type=codec, linger_ms=5)
    futures = [producer.send("python", key=str(number).encode(), value=str(codec).encode() * 50) for number in range(100)]
    assert all(future.get(20).offset >= 0 for future in futures)
    producer.close()

case("consume in a group")
assert len(consume(500, "python")) == 500

case("transactions, committed and aborted")
producer = KafkaProducer(bootstrap_servers=BROKER, transactional_id="python")
producer.init_transactions()
for round in range(4):
    producer.begin_transaction()
    for number in range(5):
        producer.send("python", value=f"transaction {round}".encode())
    if round % 2:
        producer.abort_transaction()
    else:
        producer.commit_transaction()
producer.close()
committed = consume(510, "python-committed", isolation_level="read_committed")
assert {record.value for record in committed if record.value.startswith(b"transaction")} == {b"transaction 0", b"transaction 2"}

case("groups and offsets")
offsets = admin.list_group_offsets(["python"])["python"]
assert offsets, "the group has committed"
consumer = KafkaConsumer(bootstrap_servers=BROKER)
partition = TopicPartition("python", 0)
assert consumer.end_offsets([partition])[partition] > 100
assert consumer.beginning_offsets([partition])[partition] == 0
found = consumer.offsets_for_times({partition: 0})[partition]
assert found.offset == 0
consumer.close()
admin.delete_groups(["python-committed"])
admin.close()
