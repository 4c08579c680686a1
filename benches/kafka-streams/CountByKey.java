// Count by key on Kafka Streams and Apache Kafka: the input and the topology of the bench `count_by_key`. Prints input records per
// CPU-second, of the application alone and with its broker. Arguments: broker, its process id.

import java.nio.ByteBuffer;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;

public class CountByKey {
    static final long RECORDS = 5_000_000, KEYS = 100_000;
    /** Before the clock starts: the first ones pay for compiling. */
    static final long WARM_UP = 2_000_000;
    static final String APPLICATION = "count-by-key";

    public static void main(String[] arguments) throws Exception {
        String broker = arguments[0], brokerProcess = arguments[1];
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", broker))) {
            admin.createTopics(List.of(new NewTopic("events", 1, (short) 1), new NewTopic("counts", 1, (short) 1))).all().get();
            load(broker);
            try (KafkaStreams streams = new KafkaStreams(topology(), config(broker))) {
                streams.start();
                long from = await(admin, WARM_UP);
                double application = cpuSeconds("self"), server = cpuSeconds(brokerProcess);
                long records = await(admin, RECORDS) - from;
                application = cpuSeconds("self") - application;
                server = cpuSeconds(brokerProcess) - server;
                System.out.printf("%d records: application %.1f CPU-s, broker %.1f CPU-s%n", records, application, server);
                System.out.printf("%.3f M records/CPU-s (application), %.3f M records/CPU-s (with broker)%n",
                    records / application / 1e6, records / (application + server) / 1e6);
                System.out.printf("peak resident memory: application %s, broker %s%n", peakMemory("self"), peakMemory(brokerProcess));
            }
        }
    }

    static Topology topology() {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream("events", Consumed.with(Serdes.Long(), Serdes.ByteArray()))
            .groupByKey()
            .count(Materialized.as("counts"))
            .toStream()
            .to("counts", Produced.with(Serdes.Long(), Serdes.Long()));
        return builder.build();
    }

    static Properties config(String broker) {
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, APPLICATION);
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, broker);
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        // Every update goes on, as here.
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        config.put("auto.offset.reset", "earliest");
        return config;
    }

    static void load(String broker) {
        Map<String, Object> config = Map.of("bootstrap.servers", broker, "batch.size", 200_000, "linger.ms", 5);
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            byte[] value = new byte[100];
            Arrays.fill(value, (byte) 'x');
            for (long n = 0; n < RECORDS; n++)
                producer.send(new ProducerRecord<>("events", ByteBuffer.allocate(8).putLong(key(n)).array(), value));
        }
    }

    /** Keys as the benches' `keys.rs` makes them. */
    static long key(long n) {
        long z = (n + 1) * 0x9e3779b97f4a7c15L;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return Long.remainderUnsigned(z ^ (z >>> 31), KEYS);
    }

    /** Waits until so many records are processed, and committed. Returns how many are. */
    static long await(Admin admin, long records) throws Exception {
        TopicPartition partition = new TopicPartition("events", 0);
        while (true) {
            var committed = admin.listConsumerGroupOffsets(APPLICATION).partitionsToOffsetAndMetadata().get().get(partition);
            if (committed != null && committed.offset() >= records) return committed.offset();
            Thread.sleep(50);
        }
    }

    static double cpuSeconds(String process) throws Exception {
        String[] fields = Files.readString(Path.of("/proc", process, "stat")).replaceFirst(".*\\) ", "").split(" ");
        return (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / 100.0;
    }

    static String peakMemory(String process) throws Exception {
        for (String line : Files.readAllLines(Path.of("/proc", process, "status")))
            if (line.startsWith("VmHWM:")) return Long.parseLong(line.replaceAll("\\D", "")) / 1024 + " MiB";
        return "unknown";
    }
}
