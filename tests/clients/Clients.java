// The Java clients: codecs, both group protocols, transactions, administration. First argument: the broker's address.

import java.time.Duration;
import java.util.*;
import java.util.concurrent.ExecutionException;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

public class Clients {
    static String broker;

    public static void main(String[] arguments) throws Exception {
        broker = arguments[0];
        try (Admin admin = Admin.create(config(Map.of()))) {
            topics(admin);
            codecs();
            groups();
            idle(admin);
            transactions();
            groupAdministration(admin);
        }
    }

    static void show(String name) {
        System.out.println("java: " + name);
    }

    static void check(boolean holds, Object detail) {
        if (!holds) throw new AssertionError(detail);
    }

    static Map<String, Object> config(Map<String, ?> more) {
        Map<String, Object> config = new HashMap<>(more);
        config.put("bootstrap.servers", broker);
        return config;
    }

    static KafkaProducer<String, String> producer(Map<String, ?> more) {
        return new KafkaProducer<>(config(more), new StringSerializer(), new StringSerializer());
    }

    static void topics(Admin admin) throws Exception {
        show("administer topics");
        admin.createTopics(List.of(new NewTopic("java", Optional.of(2), Optional.empty()), new NewTopic("java-gone", 1, (short) 1))).all().get();
        admin.createPartitions(Map.of("java", NewPartitions.increaseTo(3))).all().get();
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, "java");
        admin.incrementalAlterConfigs(Map.of(topic, List.of(new AlterConfigOp(new ConfigEntry("max.message.bytes", "2000000"), AlterConfigOp.OpType.SET)))).all().get();
        Config described = admin.describeConfigs(List.of(topic)).all().get().get(topic);
        check(described.get("max.message.bytes").value().equals("2000000"), described);
        check(described.get("max.message.bytes").source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, described);
        admin.deleteTopics(List.of("java-gone")).all().get();
        TopicDescription description = admin.describeTopics(List.of("java")).allTopicNames().get().get("java");
        check(description.partitions().size() == 3, description);
        check(admin.describeCluster().nodes().get().size() == 1, "one node");
        check(!admin.describeFeatures().featureMetadata().get().finalizedFeatures().isEmpty(), "features");
        try {
            admin.createTopics(List.of(new NewTopic("java", 1, (short) 1))).all().get();
            throw new AssertionError("a topic was created twice");
        } catch (ExecutionException error) {
            check(error.getCause() instanceof TopicExistsException, error);
        }
    }

    static void codecs() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            show("produce with " + codec);
            try (var producer = producer(Map.of("compression.type", codec, "linger.ms", 5))) {
                for (int number = 0; number < 200; number++)
                    producer.send(new ProducerRecord<>("java", codec + number, codec.repeat(50)));
            }
        }
    }

    static List<ConsumerRecord<String, String>> consume(int count, Map<String, ?> more) {
        Map<String, Object> config = config(more);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of("java"));
            long deadline = System.currentTimeMillis() + 30_000;
            while (records.size() < count) {
                check(System.currentTimeMillis() < deadline, records.size() + " of " + count + " records");
                consumer.poll(Duration.ofMillis(200)).forEach(records::add);
            }
            consumer.commitSync();
        }
        check(records.size() == count, records.size());
        return records;
    }

    static void groups() {
        for (String protocol : List.of("classic", "consumer")) {
            show("a group of the " + protocol + " protocol");
            var records = consume(1000, Map.of("group.id", "java-" + protocol, "group.protocol", protocol));
            check(records.stream().allMatch(record -> record.value().length() >= 150), "values");
        }
        show("a static member");
        consume(1000, Map.of("group.id", "java-static", "group.instance.id", "one"));
    }

    static double total(KafkaConsumer<?, ?> consumer, String metric) {
        return consumer.metrics().entrySet().stream()
            .filter(entry -> entry.getKey().name().equals(metric) && entry.getKey().group().equals("consumer-metrics"))
            .mapToDouble(entry -> (Double) entry.getValue().metricValue())
            .sum();
    }

    /** In a fetch session nothing is said of partitions in which nothing happens. */
    static void idle(Admin admin) throws Exception {
        admin.createTopics(List.of(new NewTopic("java-wide", 1000, (short) 1))).all().get();
        var partitions = IntStream.range(0, 1000).mapToObj(number -> new TopicPartition("java-wide", number)).toList();
        for (String protocol : List.of("classic", "consumer")) {
            show("a thousand idle partitions, " + protocol);
            var config = config(Map.of("group.id", "java-wide", "group.protocol", protocol, "enable.auto.commit", "false"));
            try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
                consumer.assign(partitions);
                consumer.seekToEnd(partitions);
                partitions.forEach(consumer::position);
                consumer.poll(Duration.ofSeconds(1));
                double before = total(consumer, "outgoing-byte-total") + total(consumer, "incoming-byte-total");
                consumer.poll(Duration.ofSeconds(3));
                double idle = total(consumer, "outgoing-byte-total") + total(consumer, "incoming-byte-total") - before;
                check(idle > 0 && idle < 5_000, idle + " bytes");
                try (var producer = producer(Map.of())) {
                    producer.send(new ProducerRecord<>("java-wide", 777, "key", "value")).get();
                }
                var records = consumer.poll(Duration.ofSeconds(10));
                check(records.count() == 1 && records.iterator().next().partition() == 777, records.count());
            }
        }
    }

    static void transactions() {
        for (String version : List.of("as finalized")) {
            show("transactions, committed and aborted, with offsets: " + version);
            TopicPartition zero = new TopicPartition("java", 0);
            try (var producer = producer(Map.of("transactional.id", "java"));
                 var consumer = new KafkaConsumer<>(config(Map.of("group.id", "java-eos")), new StringDeserializer(), new StringDeserializer())) {
                producer.initTransactions();
                for (int round = 0; round < 4; round++) {
                    producer.beginTransaction();
                    for (int number = 0; number < 10; number++)
                        producer.send(new ProducerRecord<>("java", "transaction " + round));
                    producer.sendOffsetsToTransaction(Map.of(zero, new OffsetAndMetadata(round + 1)), new ConsumerGroupMetadata("java-eos"));
                    if (round % 2 == 0) producer.commitTransaction(); else producer.abortTransaction();
                }
                check(consumer.committed(Set.of(zero)).get(zero).offset() == 3, "offsets of the last committed transaction");
                try (var other = producer(Map.of("transactional.id", "java"))) {
                    other.initTransactions();
                    producer.beginTransaction();
                    producer.send(new ProducerRecord<>("java", "never"));
                    producer.commitTransaction();
                    throw new AssertionError("a fenced producer committed");
                } catch (ProducerFencedException | InvalidProducerEpochException expected) {
                    // as it should be
                }
            }
            var committed = consume(1020, Map.of("group.id", "java-committed", "isolation.level", "read_committed"));
            Set<String> values = committed.stream().map(ConsumerRecord::value).filter(value -> value.startsWith("transaction")).collect(Collectors.toSet());
            check(values.equals(Set.of("transaction 0", "transaction 2")), values);
        }
    }

    static void groupAdministration(Admin admin) throws Exception {
        show("groups, offsets and records");
        Set<String> names = admin.listGroups().all().get().stream().map(GroupListing::groupId).collect(Collectors.toSet());
        check(names.containsAll(Set.of("java-classic", "java-consumer", "java-eos")), names);
        check(admin.describeConsumerGroups(List.of("java-consumer")).all().get().get("java-consumer").type() == org.apache.kafka.common.GroupType.CONSUMER, "type");
        check(admin.describeConsumerGroups(List.of("java-classic")).all().get().get("java-classic").type() == org.apache.kafka.common.GroupType.CLASSIC, "type");
        TopicPartition zero = new TopicPartition("java", 0);
        admin.alterConsumerGroupOffsets("java-classic", Map.of(zero, new OffsetAndMetadata(7))).all().get();
        check(admin.listConsumerGroupOffsets("java-classic").partitionsToOffsetAndMetadata().get().get(zero).offset() == 7, "altered");
        admin.deleteConsumerGroupOffsets("java-classic", Set.of(zero)).all().get();
        admin.deleteConsumerGroups(List.of("java-committed", "java-consumer")).all().get();
        check(admin.deleteRecords(Map.of(zero, RecordsToDelete.beforeOffset(5))).lowWatermarks().get(zero).get().lowWatermark() == 5, "low watermark");
        check(admin.listOffsets(Map.of(zero, OffsetSpec.earliest())).partitionResult(zero).get().offset() == 5, "earliest");
        check(admin.listOffsets(Map.of(zero, OffsetSpec.maxTimestamp())).partitionResult(zero).get().offset() > 5, "newest");
        check(!admin.describeProducers(List.of(zero)).all().get().isEmpty(), "producers");
        check(admin.listTransactions().all().get().stream().anyMatch(found -> found.transactionalId().equals("java")), "transactions");
        check(admin.describeTransactions(List.of("java")).all().get().get("java").state() != null, "a transaction");
        check(!admin.describeLogDirs(List.of(admin.describeCluster().controller().get().id())).allDescriptions().get().isEmpty(), "log dirs");
    }
}
