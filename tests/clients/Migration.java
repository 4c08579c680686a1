// A group in use that moves from the classic to the consumer protocol and back, with members that keep what they read while they
// join (cooperative rebalancing). First argument: the broker's address.

import java.time.Duration;
import java.util.*;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.BooleanSupplier;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.serialization.*;

public class Migration {
    static final String NAME = "cooperative";
    static final int PARTITIONS = 6, BATCH = 300, PATIENCE_MS = 60_000;
    static String broker;
    static final Deque<Member> members = new ArrayDeque<>();
    static final Queue<String> read = new ConcurrentLinkedQueue<>();
    static int produced = 0;

    static class Member extends Thread implements ConsumerRebalanceListener {
        final KafkaConsumer<String, String> consumer;
        volatile Set<Integer> assigned = Set.of();
        volatile boolean leaving = false;
        volatile Throwable failure = null;

        Member(String protocol) {
            Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", broker, "group.id", NAME, "group.protocol", protocol,
                "auto.offset.reset", "earliest", "auto.commit.interval.ms", 100));
            if (protocol.equals("classic")) config.put("partition.assignment.strategy", CooperativeStickyAssignor.class.getName());
            consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
            start();
        }

        @Override public void run() {
            try (consumer) {
                consumer.subscribe(List.of(NAME), this);
                while (!leaving) {
                    for (var record : consumer.poll(Duration.ofMillis(100))) read.add(record.value());
                    assigned = consumer.assignment().stream().map(TopicPartition::partition).collect(Collectors.toSet());
                }
            } catch (Throwable error) {
                failure = error;
            }
        }

        @Override public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}
        @Override public void onPartitionsRevoked(Collection<TopicPartition> partitions) {}
        @Override public void onPartitionsLost(Collection<TopicPartition> partitions) {
            failure = new AssertionError("taken from a member that was there: " + partitions);
        }
    }

    static void until(String what, BooleanSupplier holds) throws Exception {
        for (long left = PATIENCE_MS; !holds.getAsBoolean(); left -= 50) {
            for (Member member : members) if (member.failure != null) throw new AssertionError(what, member.failure);
            if (left <= 0) throw new AssertionError(what + ": " + members.stream().map(member -> member.assigned).toList());
            Thread.sleep(50);
        }
    }

    static void leaves() throws Exception {
        Member member = members.removeFirst();
        member.leaving = true;
        member.join(PATIENCE_MS);
        if (member.isAlive() || member.failure != null) throw new AssertionError("a member that leaves", member.failure);
    }

    static void settles(Admin admin, GroupType kind) throws Exception {
        List<Integer> all = IntStream.range(0, PARTITIONS).boxed().toList();
        until("every partition is read by one", () -> members.stream().noneMatch(member -> member.assigned.isEmpty())
            && members.stream().flatMap(member -> member.assigned.stream()).sorted().toList().equals(all));
        var listed = admin.listGroups(new ListGroupsOptions().withTypes(Set.of(kind))).all().get();
        if (listed.stream().noneMatch(group -> group.groupId().equals(NAME))) throw new AssertionError("not of the type " + kind);
        Map<String, Object> config = Map.of("bootstrap.servers", broker);
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (int end = produced + BATCH; produced < end; produced++)
                producer.send(new ProducerRecord<>(NAME, produced % PARTITIONS, null, Integer.toString(produced)));
        }
        until("every record is read", () -> new HashSet<>(read).size() == produced);
    }

    public static void main(String[] arguments) throws Exception {
        broker = arguments[0];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", broker))) {
            admin.createTopics(List.of(new NewTopic(NAME, PARTITIONS, (short) 1))).all().get();
            for (String step : List.of("classic CLASSIC", "classic CLASSIC", "consumer CONSUMER", "leave CONSUMER", "consumer CONSUMER",
                    "leave CONSUMER", "classic CONSUMER", "leave CONSUMER", "classic CONSUMER", "leave CLASSIC")) {
                System.out.println("java: a group moves to another protocol and back: " + step);
                String[] words = step.split(" ");
                if (words[0].equals("leave")) leaves();
                else members.addLast(new Member(words[0]));
                settles(admin, GroupType.valueOf(words[1]));
            }
            while (!members.isEmpty()) leaves();
            var committed = admin.listConsumerGroupOffsets(NAME).partitionsToOffsetAndMetadata().get();
            long sum = committed.values().stream().mapToLong(OffsetAndMetadata::offset).sum();
            if (sum != produced || read.size() != produced)
                throw new AssertionError(produced + " records, " + read.size() + " read, committed " + committed);
        }
    }
}
