// The operator benches (`joins`, `windows`, `stores`) on Kafka Streams' test driver: the same input, one record at a time. Prints, for
// each, how many records were written, a checksum of them, and thousand records per CPU-second of a round after one to warm up.
// Arguments: `memory` or `rocksdb`; a pattern of names.
//
// In RocksDB without what the test driver does after each record, flushes and position files, as in an application between
// flushes; the stores' classes are open to this package alone.

package org.apache.kafka.streams.state.internals;

import com.sun.management.OperatingSystemMXBean;
import java.io.File;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.time.Duration;
import java.time.Instant;
import java.util.*;
import java.util.function.Consumer;
import java.util.zip.CRC32;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.processor.api.*;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.*;
import org.apache.kafka.streams.state.internals.metrics.*;
import org.apache.kafka.streams.test.TestRecord;

public class OperatorBench {
    static final String OUT = "out";
    static final long RECORDS = 200_000, KEYS = 10_000;
    static boolean inMemory;

    record Case(String name, Consumer<StreamsBuilder> declare, List<String> filled, List<String> inputs) {}

    /** Keys as the benches' `keys.rs` makes them. */
    static long key(long n) {
        long z = (n + 1) * 0x9e3779b97f4a7c15L;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return Long.remainderUnsigned(z ^ (z >>> 31), KEYS);
    }

    static String value(long n) {
        return String.format("%020d", key(n + RECORDS));
    }

    static final Consumed<Long, String> IN = Consumed.with(Serdes.Long(), Serdes.String());
    static final Produced<Long, String> TO = Produced.with(Serdes.Long(), Serdes.String());
    static <S extends org.apache.kafka.streams.processor.StateStore> Materialized<Long, String, S> mat() {
        return Materialized.<Long, String, S>with(Serdes.Long(), Serdes.String());
    }
    static KGroupedStream<Long, String> grouped(StreamsBuilder b) {
        return b.stream("in", IN).groupByKey(Grouped.with(Serdes.Long(), Serdes.String()));
    }
    static final Duration SIZE = Duration.ofSeconds(60), ADVANCE = Duration.ofSeconds(15), TEN = Duration.ofSeconds(10);

    static List<Case> cases() {
        List<Case> all = new ArrayList<>();
        List<String> none = List.of(), in = List.of("in"), left = List.of("left"), right = List.of("right"), both = List.of("left", "right");
        all.add(new Case("joins/stream and table, inner", b -> {
            KTable<Long, String> r = b.table("right", IN);
            b.stream("left", IN).join(r, (x, y) -> x + y, Joined.with(Serdes.Long(), Serdes.String(), Serdes.String())).to(OUT, TO);
        }, right, left));
        all.add(new Case("joins/stream and global table, inner", b -> {
            GlobalKTable<Long, String> r = b.globalTable("right", IN);
            b.stream("left", IN).join(r, (k, v) -> k, (x, y) -> x + y).to(OUT, TO);
        }, right, left));
        all.add(new Case("joins/stream and stream, inner, 10 s", b -> {
            KStream<Long, String> r = b.stream("right", IN);
            b.stream("left", IN).join(r, (x, y) -> x + y, JoinWindows.ofTimeDifferenceWithNoGrace(TEN),
                StreamJoined.with(Serdes.Long(), Serdes.String(), Serdes.String())).to(OUT, TO);
        }, none, both));
        all.add(new Case("joins/table and table, left", b -> {
            KTable<Long, String> l = b.table("left", IN), r = b.table("right", IN);
            l.leftJoin(r, (x, y) -> y == null ? x : x + y).toStream().to(OUT, TO);
        }, none, both));
        all.add(new Case("joins/table and table by foreign key, inner", b -> {
            KTable<Long, String> l = b.table("left", IN), r = b.table("right", IN);
            l.join(r, v -> Long.parseLong(v), (x, y) -> x + y, mat()).toStream().to(OUT, TO);
        }, none, both));

        all.add(new Case("windows/tumbling, 60 s", b -> grouped(b).windowedBy(TimeWindows.ofSizeWithNoGrace(SIZE)).count()
            .toStream().to(OUT, Produced.with(WindowedSerdes.timeWindowedSerdeFrom(Long.class, SIZE.toMillis()), Serdes.Long())), none, in));
        all.add(new Case("windows/hopping, 60 s every 15 s", b -> grouped(b).windowedBy(TimeWindows.ofSizeWithNoGrace(SIZE).advanceBy(ADVANCE)).count()
            .toStream().to(OUT, Produced.with(WindowedSerdes.timeWindowedSerdeFrom(Long.class, SIZE.toMillis()), Serdes.Long())), none, in));
        all.add(new Case("windows/sliding, 10 s", b -> grouped(b).windowedBy(SlidingWindows.ofTimeDifferenceWithNoGrace(TEN)).count()
            .toStream().to(OUT, Produced.with(WindowedSerdes.timeWindowedSerdeFrom(Long.class, TEN.toMillis()), Serdes.Long())), none, in));
        all.add(new Case("windows/sessions, gap of 10 s", b -> grouped(b).windowedBy(SessionWindows.ofInactivityGapWithNoGrace(TEN)).count()
            .toStream().to(OUT, Produced.with(WindowedSerdes.sessionWindowedSerdeFrom(Long.class), Serdes.Long())), none, in));

        all.add(new Case("stores/no store", b -> b.stream("in", IN).to(OUT, TO), none, in));
        all.add(new Case("stores/count by key", b -> grouped(b).count(Named.as("c"), Materialized.as("store"))
            .toStream().to(OUT, Produced.with(Serdes.Long(), Serdes.Long())), none, in));
        all.add(new Case("stores/key-value store, put and get", b -> {
            b.addStateStore(Stores.timestampedKeyValueStoreBuilder(
                inMemory ? Stores.inMemoryKeyValueStore("store") : new NoFlush().keyValueStore(new DslKeyValueParams("store", true)), Serdes.Long(), Serdes.String()));
            b.stream("in", IN).process(PutAndGet::new, "store").to(OUT, TO);
        }, none, in));
        all.add(new Case("stores/window store, put and fetch", b -> {
            Duration retention = Duration.ofSeconds(60);
            b.addStateStore(Stores.timestampedWindowStoreBuilder(
                inMemory ? Stores.inMemoryWindowStore("store", retention, TEN, false) : new NoFlush().windowStore(new DslWindowParams("store", retention, TEN, false, EmitStrategy.onWindowUpdate(), false, true)), Serdes.Long(), Serdes.String()));
            b.stream("in", IN).process(PutAndFetch::new, "store").to(OUT, TO);
        }, none, in));
        return all;
    }

    static class PutAndGet extends ContextualProcessor<Long, String, Long, String> {
        TimestampedKeyValueStore<Long, String> store;
        @Override public void init(ProcessorContext<Long, String> c) { super.init(c); store = c.getStateStore("store"); }
        @Override public void process(Record<Long, String> r) {
            store.put(r.key(), ValueAndTimestamp.make(r.value(), r.timestamp()));
            context().forward(r.withValue(store.get(r.key()).value()));
        }
    }
    static class PutAndFetch extends ContextualProcessor<Long, String, Long, String> {
        TimestampedWindowStore<Long, String> store;
        @Override public void init(ProcessorContext<Long, String> c) { super.init(c); store = c.getStateStore("store"); }
        @Override public void process(Record<Long, String> r) {
            long start = r.timestamp() - r.timestamp() % 10_000;
            store.put(r.key(), ValueAndTimestamp.make(r.value(), r.timestamp()), start);
            context().forward(r.withValue(store.fetch(r.key(), start).value()));
        }
    }


    /** RocksDB without flushes. */
    public static class NoFlush implements DslStoreSuppliers {
        @Override public KeyValueBytesStoreSupplier keyValueStore(DslKeyValueParams p) {
            return new KeyValueBytesStoreSupplier() {
                @Override public String name() { return p.name(); }
                @Override public String metricsScope() { return "rocksdb"; }
                @Override public KeyValueStore<Bytes, byte[]> get() {
                    return p.isTimestamped() ? new RocksDBTimestampedStore(p.name(), "rocksdb") {
                        @Override public synchronized void flush() {}
                        @Override public boolean persistent() { return false; }
                    } : new RocksDBStore(p.name(), "rocksdb") {
                        @Override public synchronized void flush() {}
                        @Override public boolean persistent() { return false; }
                    };
                }
            };
        }
        @Override public WindowBytesStoreSupplier windowStore(DslWindowParams p) {
            if (p.emitStrategy().type() != EmitStrategy.StrategyType.ON_WINDOW_UPDATE) throw new IllegalStateException();
            long retention = p.retentionPeriod().toMillis(), segment = Math.max(retention / 2, 60_000L), size = p.windowSize().toMillis();
            return new WindowBytesStoreSupplier() {
                @Override public String name() { return p.name(); }
                @Override public String metricsScope() { return "rocksdb-window"; }
                @Override public long segmentIntervalMs() { return segment; }
                @Override public long windowSize() { return size; }
                @Override public boolean retainDuplicates() { return p.retainDuplicates(); }
                @Override public long retentionPeriod() { return retention; }
                @Override public WindowStore<Bytes, byte[]> get() {
                    return p.isTimestamped() ? new RocksDBTimestampedWindowStore(
                        new RocksDBTimestampedSegmentedBytesStore(p.name(), "rocksdb-window", retention, segment, new WindowKeySchema()) {
                            @Override public void flush() {}
                            @Override public boolean persistent() { return false; }
                        }, p.retainDuplicates(), size)
                    : new RocksDBWindowStore(
                        new RocksDBSegmentedBytesStore(p.name(), "rocksdb-window", retention, segment, new WindowKeySchema()) {
                            @Override public void flush() {}
                            @Override public boolean persistent() { return false; }
                        }, p.retainDuplicates(), size);
                }
            };
        }
        @Override public SessionBytesStoreSupplier sessionStore(DslSessionParams p) {
            long retention = p.retentionPeriod().toMillis(), segment = Math.max(retention / 2, 60_000L);
            return new SessionBytesStoreSupplier() {
                @Override public String name() { return p.name(); }
                @Override public String metricsScope() { return "rocksdb-session"; }
                @Override public long segmentIntervalMs() { return segment; }
                @Override public long retentionPeriod() { return retention; }
                @Override public SessionStore<Bytes, byte[]> get() {
                    return new RocksDBSessionStore(new RocksDBSegmentedBytesStore(p.name(), "rocksdb-session", retention, segment, new SessionKeySchema()) {
                        @Override public void flush() {}
                        @Override public boolean persistent() { return false; }
                    });
                }
            };
        }
    }

    static Properties config(File dir) {
        Properties p = new Properties();
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, "app");
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "none:1");
        p.put(StreamsConfig.STATE_DIR_CONFIG, dir.getPath());
        p.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.LongSerde.class);
        p.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        p.put(StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG,
            inMemory ? BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class : NoFlush.class);
        return p;
    }

    static Object field(Object o, String name) throws Exception {
        for (Class<?> c = o.getClass(); c != null; c = c.getSuperclass())
            try { java.lang.reflect.Field f = c.getDeclaredField(name); f.setAccessible(true); return f.get(o); } catch (NoSuchFieldException e) { }
        throw new NoSuchFieldException(name);
    }
    /** Without the position file that each store writes at each commit. */
    static void noPositions(TopologyTestDriver driver) throws Exception {
        Object task = field(driver, "task");
        if (task == null) return;
        for (Object metadata : ((Map<?, ?>) field(field(task, "stateMgr"), "stores")).values()) {
            java.lang.reflect.Field f = metadata.getClass().getDeclaredField("commitCallback");
            f.setAccessible(true);
            f.set(metadata, null);
        }
    }

    static void delete(File f) {
        File[] children = f.listFiles();
        if (children != null) for (File c : children) delete(c);
        f.delete();
    }

    record Round(double cpuSeconds, long outputs, long checksum) {}

    static Round round(Case c) throws Exception {
        File dir = Files.createTempDirectory("operator-bench").toFile();
        Properties p = config(dir);
        StreamsBuilder b = new StreamsBuilder(new TopologyConfig(new StreamsConfig(p)));
        c.declare.accept(b);
        Topology topology = b.build(p);
        try (TopologyTestDriver driver = new TopologyTestDriver(topology, p, Instant.ofEpochMilli(0))) {
            if (!inMemory) noPositions(driver);
            for (String topic : c.filled) {
                TestInputTopic<Long, String> in = input(driver, topic);
                for (long n = 0; n < KEYS; n++) in.pipeInput(n, value(n), 0L);
            }
            List<TestInputTopic<Long, String>> inputs = c.inputs.stream().map(topic -> input(driver, topic)).toList();
            String[] values = new String[(int) RECORDS];
            for (int n = 0; n < RECORDS; n++) values[n] = value(n);
            System.gc();
            OperatingSystemMXBean os = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
            long start = os.getProcessCpuTime();
            for (int n = 0; n < RECORDS; n++) inputs.get(n % inputs.size()).pipeInput(key(n), values[n], n);
            double cpuSeconds = (os.getProcessCpuTime() - start) / 1e9;
            long outputs = 0;
            CRC32 checksum = new CRC32();
            var out = driver.createOutputTopic(OUT, new ByteArrayDeserializer(), new ByteArrayDeserializer());
            for (; !out.isEmpty(); outputs++) {
                TestRecord<byte[], byte[]> r = out.readRecord();
                checksum.update(r.key());
                if (r.value() != null) checksum.update(r.value());
                checksum.update(Long.toString(r.timestamp()).getBytes());
            }
            return new Round(cpuSeconds, outputs, checksum.getValue());
        } finally {
            delete(dir);
        }
    }

    static TestInputTopic<Long, String> input(TopologyTestDriver driver, String topic) {
        return driver.createInputTopic(topic, new LongSerializer(), new StringSerializer());
    }

    public static void main(String[] arguments) throws Exception {
        inMemory = arguments[0].equals("memory");
        for (Case c : cases()) {
            if (!c.name.matches(".*(" + arguments[1] + ").*")) continue;
            round(c);
            Round measured = round(c);
            System.out.printf("%-8s%-50s%8d records written, checksum %08x, %5.0f thousand records/CPU-s%n",
                arguments[0], c.name, measured.outputs, measured.checksum, RECORDS / measured.cpuSeconds / 1e3);
        }
        System.exit(0);
    }
}
