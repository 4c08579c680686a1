"""aiokafka: codecs, groups, transactions, administration."""
import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

BROKER = sys.argv[1]


def case(name):
    print("aiokafka:", name, flush=True)


async def consume(count, group, **settings):
    consumer = AIOKafkaConsumer("aio", bootstrap_servers=BROKER, group_id=group, auto_offset_reset="earliest",
                                enable_auto_commit=False, **settings)
    await consumer.start()
    try:
        records = []
        while len(records) < count:
            batches = await asyncio.wait_for(consumer.getmany(timeout_ms=500), 30)
            for batch in batches.values():
                records.extend(batch)
        await consumer.commit()
        return records, consumer._coordinator.generation
    finally:
        await consumer.stop()


async def main():
    case("administer topics")
    admin = AIOKafkaAdminClient(bootstrap_servers=BROKER)
    await admin.start()
    await admin.create_topics([NewTopic("aio", 3, 1), NewTopic("aio-gone", 1, 1)])
    await admin.delete_topics(["aio-gone"])
    assert "aio" in await admin.list_topics()

    case("produce with every codec")
    for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
        async with AIOKafkaProducer(bootstrap_servers=BROKER, compression_type=codec, linger_ms=5) as producer:
            futures = [await producer.send("aio", str(codec).encode() * 50, key=b"k%d" % number) for number in range(100)]
            await asyncio.wait_for(asyncio.gather(*futures), 20)

    case("consume in a group")
    records, _ = await asyncio.wait_for(consume(500, "aio"), 60)
    assert len(records) == 500

    case("transactions, committed and aborted, with offsets")
    async with AIOKafkaProducer(bootstrap_servers=BROKER, transactional_id="aio") as producer:
        for round in range(4):
            await producer.begin_transaction()
            for number in range(5):
                await producer.send_and_wait("aio", f"transaction {round}".encode())
            await producer.send_offsets_to_transaction({TopicPartition("aio", 0): round + 1}, "aio-eos")
            if round % 2:
                await producer.abort_transaction()
            else:
                await producer.commit_transaction()
    records, _ = await asyncio.wait_for(consume(510, "aio-committed", isolation_level="read_committed"), 60)
    values = {record.value for record in records if record.value.startswith(b"transaction")}
    assert values == {b"transaction 0", b"transaction 2"}, values
    offsets = await admin.list_consumer_group_offsets("aio-eos")
    assert offsets[TopicPartition("aio", 0)].offset == 3, offsets
    await admin.close()


asyncio.run(main())
