// A word count on Kafka Streams: a repartition topic, a changelog, exactly once. Arguments: broker, guarantee, group protocol.

import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;

public class WordCount {
    public static void main(String[] arguments) throws Exception {
        String broker = arguments[0], guarantee = arguments[1], protocol = arguments[2];
        String name = "word-count-" + guarantee + "-" + protocol;
        System.out.println("kafka streams: " + guarantee + ", " + protocol + " protocol");
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", broker))) {
            admin.createTopics(List.of(new NewTopic(name + "-lines", 2, (short) 1), new NewTopic(name + "-counts", 2, (short) 1))).all().get();
        }
        try (var producer = new KafkaProducer<>(Map.<String, Object>of("bootstrap.servers", broker), new StringSerializer(), new StringSerializer())) {
            for (int number = 0; number < 500; number++)
                producer.send(new ProducerRecord<>(name + "-lines", "" + number, "the quick fox and the dog"));
        }

        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(name + "-lines", Consumed.with(Serdes.String(), Serdes.String()))
            .flatMapValues(line -> List.of(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
            .count(Materialized.as("counts"))
            .toStream()
            .to(name + "-counts", Produced.with(Serdes.String(), Serdes.Long()));
        Properties config = new Properties();
        config.put("application.id", name);
        config.put("bootstrap.servers", broker);
        config.put("processing.guarantee", guarantee);
        config.put("group.protocol", protocol);
        config.put("commit.interval.ms", 100);
        config.put("auto.offset.reset", "earliest");
        config.put("state.dir", arguments[3]);
        config.put("default.dsl.store", "in_memory");

        Map<String, Long> counts = new HashMap<>();
        Map<String, Object> consuming = Map.of("bootstrap.servers", broker, "group.id", name + "-check", "auto.offset.reset", "earliest", "isolation.level", "read_committed");
        try (KafkaStreams streams = new KafkaStreams(builder.build(), config);
             var consumer = new KafkaConsumer<>(consuming, new StringDeserializer(), new LongDeserializer())) {
            streams.start();
            consumer.subscribe(List.of(name + "-counts"));
            Map<String, Long> expected = Map.of("the", 1000L, "quick", 500L, "fox", 500L, "and", 500L, "dog", 500L);
            long deadline = System.currentTimeMillis() + 60_000;
            while (!counts.equals(expected)) {
                if (System.currentTimeMillis() > deadline) throw new AssertionError(counts + " in state " + streams.state());
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    Long before = counts.put(record.key(), record.value());
                    if (before != null && record.value() < before) throw new AssertionError(record.key() + " went from " + before + " to " + record.value());
                }
            }
        }
    }
}
