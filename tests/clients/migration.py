"""A group in use that moves from the classic to the consumer protocol and back, member by member, through confluent-kafka."""
import sys
import threading
import time

from confluent_kafka import Consumer, ConsumerGroupType, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

BROKER = sys.argv[1]
PARTITIONS = 6
BATCH = 300
PATIENCE_S = 60
admin = AdminClient({"bootstrap.servers": BROKER})


class Member(threading.Thread):
    """A consumer of a group, that reads until it is told to leave."""

    def __init__(self, topic, **settings):
        super().__init__(daemon=True)
        self.topic, self.values, self.leaving, self.failure, self.lost = topic, [], False, None, 0
        self.assigned = set()
        self.consumer = Consumer({"bootstrap.servers": BROKER, "group.id": topic, "auto.offset.reset": "earliest",
                                  "auto.commit.interval.ms": 100, **settings})
        self.start()

    def run(self):
        try:
            self.consumer.subscribe([self.topic], on_lost=self.loses)
            while not self.leaving:
                message = self.consumer.poll(0.1)
                self.assigned = {partition.partition for partition in self.consumer.assignment()}
                if message is not None:
                    assert not message.error(), message.error()
                    self.values.append(message.value())
            self.consumer.close()
        except Exception as error:
            self.failure = error

    def loses(self, _consumer, partitions):
        self.lost += len(partitions)

    def leave(self):
        self.leaving = True
        self.join(PATIENCE_S)
        assert not self.is_alive() and self.failure is None, self.failure


def until(what, members, holds):
    deadline = time.time() + PATIENCE_S
    while not holds():
        failures = [member.failure for member in members if member.failure]
        assert not failures, failures
        assert time.time() < deadline, f"{what}: {[sorted(member.assigned) for member in members]}"
        time.sleep(0.05)


class Group:
    """A topic and the members that read it."""

    def __init__(self, name, **classic):
        admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result()
        self.name, self.classic, self.members, self.read, self.produced = name, classic, [], [], 0

    def joins(self, protocol):
        settings = {"group.protocol": "classic", **self.classic} if protocol == "classic" else {"group.protocol": "consumer"}
        self.members.append(Member(self.name, **settings))

    def leaves(self):
        """The member that is there for longest."""
        member = self.members.pop(0)
        member.leave()
        assert member.lost == 0, f"{member.lost} partitions were taken from a member that was there"
        self.read += member.values

    def settles(self, kind):
        """Every partition has one reader, in a group of this kind, and what is produced now is read."""
        def shared():
            held = [partition for member in self.members for partition in member.assigned]
            return sorted(held) == list(range(PARTITIONS)) and all(member.assigned for member in self.members)
        until(f"{self.name}: every partition is read", self.members, shared)
        for listed in [set(), {kind}]:
            names = {group.group_id for group in admin.list_consumer_groups(types=listed).result().valid}
            assert self.name in names, f"{self.name} is not of the type {kind}"
        producer = Producer({"bootstrap.servers": BROKER})
        for number in range(self.produced, self.produced + BATCH):
            producer.produce(self.name, value=str(number), partition=number % PARTITIONS)
        assert producer.flush(PATIENCE_S) == 0
        self.produced += BATCH
        def all_read():
            return len(set(self.read).union(*(member.values for member in self.members))) == self.produced
        until(f"{self.name}: every record is read", self.members, all_read)

    def ends(self):
        """What was read is committed, and nothing was read twice."""
        while self.members:
            self.leaves()
        consumer = Consumer({"bootstrap.servers": BROKER, "group.id": self.name})
        asked = [TopicPartition(self.name, partition) for partition in range(PARTITIONS)]
        committed = [partition.offset for partition in consumer.committed(asked, PATIENCE_S)]
        consumer.close()
        assert committed == [self.produced // PARTITIONS] * PARTITIONS, committed
        assert len(self.read) == self.produced, f"{len(self.read) - self.produced} records were read twice"


def moves_there_and_back(name, **classic):
    print("confluent-kafka: a group moves to another protocol and back", flush=True)
    group = Group(name, **classic)
    classic_group, consumer_group = ConsumerGroupType.CLASSIC, ConsumerGroupType.CONSUMER
    for joins, kind in [
            ("classic", classic_group), ("classic", classic_group),
            ("consumer", consumer_group), (None, consumer_group), ("consumer", consumer_group), (None, consumer_group),
            ("classic", consumer_group), (None, consumer_group), ("classic", consumer_group), (None, classic_group)]:
        if joins:
            group.joins(joins)
        else:
            group.leaves()
        group.settles(kind)
    group.ends()


# The cooperative-sticky assignor of librdkafka leaves data of its own in assignments, which Kafka takes for a custom assignor's.
moves_there_and_back("migration", **{"partition.assignment.strategy": "range"})
