package peer;

import java.io.InputStream;
import java.io.PrintWriter;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.time.Duration;
import java.time.LocalDate;
import java.util.*;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.avro.Schema;
import org.apache.avro.generic.*;
import org.apache.avro.io.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.processor.api.*;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.*;

/**
 * Peer TOPIC RECORDS UNIQUE GUARANTEE(exactly_once_v2|at_least_once) COMMIT_MS(0 = the default of the guarantee)
 * Properties: -Dbs, -Ddir, -Dthreads, -Dtimeout (s), -Ddump=FILE, -Dks.NAME=VALUE (any Streams setting).
 * Prints BEGIN at the first record, END when all are processed, counted and emitted, then RESULT.
 */
public class Peer {
    static final AtomicLong processed = new AtomicLong(), applied = new AtomicLong();
    static final AtomicLong emitted = new AtomicLong();
    static final Map<String, Long> last = new ConcurrentHashMap<>();
    static final com.sun.management.OperatingSystemMXBean OS =
        (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    static long unique, records;
    static volatile Mark start, half, inputDone, appliedDone, emittedDone;

    record Mark(long ns, long cpu) {
        static Mark now() { return new Mark(System.nanoTime(), OS.getProcessCpuTime()); }
    }

    static final Schema SCHEMA;
    static {
        try (InputStream in = Peer.class.getResourceAsStream("/border_crossing.avsc")) {
            SCHEMA = new Schema.Parser().parse(in);
        } catch (Exception e) { throw new ExceptionInInitializerError(e); }
    }

    /** Schemaless Avro datum, all 21 fields decoded. One instance per thread (decoder and record are reused). */
    static class AvroDe implements Deserializer<GenericRecord> {
        final GenericDatumReader<GenericRecord> reader = new GenericDatumReader<>(SCHEMA);
        BinaryDecoder dec;
        public GenericRecord deserialize(String topic, byte[] b) {
            try {
                dec = DecoderFactory.get().binaryDecoder(b, dec);
                return reader.read(null, dec);
            } catch (java.io.IOException e) { throw new RuntimeException(e); }
        }
    }

    /** 1 + 2: dedup by event_id, per-person state; forwards (cell key, 1 byte) for each new event. */
    static class DedupPerson implements Processor<String, GenericRecord, String, byte[]> {
        static final byte[] ONE = {1};
        ProcessorContext<String, byte[]> ctx;
        KeyValueStore<String, byte[]> seen, person;
        long dayNo = Long.MIN_VALUE; String day;
        public void init(ProcessorContext<String, byte[]> c) {
            ctx = c; seen = c.getStateStore("seen"); person = c.getStateStore("person");
        }
        public void process(Record<String, GenericRecord> r) {
            if (start == null) synchronized (Peer.class) { if (start == null) start = Mark.now(); }
            GenericRecord v = r.value();
            String id = v.get(0).toString();
            if (seen.get(id) == null) {
                seen.put(id, ONE);
                long t = (Long) v.get(5);
                GenericData.EnumSymbol type = (GenericData.EnumSymbol) v.get(4);
                byte[] old = person.get(r.key());
                long cnt = 1, lt = t;
                byte ty = (byte) SCHEMA.getField("event_type").schema().getEnumOrdinal(type.toString());
                if (old != null) {
                    ByteBuffer b = ByteBuffer.wrap(old);
                    cnt = b.getLong() + 1; long ot = b.getLong();
                    if (ot > t) { lt = ot; ty = b.get(); }
                }
                person.put(r.key(), ByteBuffer.allocate(17).putLong(cnt).putLong(lt).put(ty).array());
                long d = Math.floorDiv(t, 86_400_000L);
                if (d != dayNo) { dayNo = d; day = LocalDate.ofEpochDay(d).toString(); }
                ctx.forward(r.withKey(day + "|" + v.get(7) + "|" + v.get(9) + "|" + type).withValue(ONE));
            }
            long n = processed.incrementAndGet();
            if (n == records / 2) half = Mark.now();
            if (n == records) inputDone = Mark.now();
        }
    }

    static Topology topology(String topic, String out) {
        StreamsBuilder sb = new StreamsBuilder();
        for (String store : List.of("seen", "person"))
            sb.addStateStore(Stores.keyValueStoreBuilder(
                Stores.persistentKeyValueStore(store), Serdes.String(), Serdes.ByteArray()));
        Serializer<GenericRecord> none = (t, v) -> { throw new UnsupportedOperationException(); };
        // source serdes are shared by the tasks of all threads, so each thread gets its own decoder:
        ThreadLocal<AvroDe> per = ThreadLocal.withInitial(AvroDe::new);
        Serde<GenericRecord> in = Serdes.serdeFrom(none, (t, b) -> per.get().deserialize(t, b));
        sb.stream(topic, Consumed.with(Serdes.String(), in))
          .process(DedupPerson::new, "seen", "person")
          .groupByKey(Grouped.with("cell", Serdes.String(), Serdes.ByteArray()))   // key changed -> repartition topic
          .aggregate(() -> 0L, (k, v, n) -> {                                       // = count(), plus the progress mark
                  if (applied.incrementAndGet() == unique) appliedDone = Mark.now();
                  return n + 1;
              }, Materialized.<String, Long, KeyValueStore<org.apache.kafka.common.utils.Bytes, byte[]>>as("cells")
                     .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
          .toStream()
          .peek((k, n) -> {
              Long o = last.put(k, n);
              if (emitted.addAndGet(n - (o == null ? 0 : o)) == unique) emittedDone = Mark.now();
          })
          .to(out, Produced.with(Serdes.String(), Serdes.Long()));
        return sb.build();
    }

    public static void main(String[] a) throws Exception {
        String topic = a[0], guarantee = a[3];
        records = Long.parseLong(a[1]); unique = Long.parseLong(a[2]);
        int commit = Integer.parseInt(a[4]);
        String bs = System.getProperty("bs", "127.0.0.1:9092");
        String app = "ks-" + (guarantee.startsWith("e") ? "eos" : "alo") + "-" + Long.toString(System.currentTimeMillis(), 36);
        String out = app + "-out";
        Path dir = Path.of(System.getProperty("dir", "target/state"), app);

        Properties p = new Properties();
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, app);
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bs);
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
        p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, Integer.getInteger("threads", 2));
        p.put(StreamsConfig.STATE_DIR_CONFIG, dir.toString());
        p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        if (commit > 0) p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, commit);
        System.getProperties().forEach((k, v) -> {
            if (k.toString().startsWith("ks.")) p.put(k.toString().substring(3), v);
        });

        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bs))) {
            int parts = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
            admin.createTopics(List.of(new NewTopic(out, parts, (short) 1))).all().get();
            KafkaStreams ks = new KafkaStreams(topology(topic, out), p);
            ks.setUncaughtExceptionHandler(e -> { e.printStackTrace(); Runtime.getRuntime().halt(3); return null; });
            ks.start();
            long limit = System.nanoTime() + Long.getLong("timeout", 300L) * 1_000_000_000L;
            while (start == null && System.nanoTime() < limit) Thread.sleep(5);
            System.out.println("BEGIN");   // whoever watches this process begins here
            while (!done() && System.nanoTime() < limit) Thread.sleep(5);
            System.out.println("END");
            boolean timeout = !done();
            // after the measurement: the committed output must hold every unique event once
            Map<String, Long> seen = readCommitted(bs, out, unique);
            long sum = seen.values().stream().mapToLong(Long::longValue).sum();
            ks.close(new KafkaStreams.CloseOptions().timeout(Duration.ofSeconds(60)).leaveGroup(true));
            if (timeout) System.out.printf("TIMEOUT processed=%d applied=%d emitted=%d%n",
                processed.get(), applied.get(), emitted.get());
            else result(later(inputDone, emittedDone), sum);
            String dump = System.getProperty("dump");
            if (dump != null) try (PrintWriter w = new PrintWriter(dump, StandardCharsets.UTF_8)) {
                new TreeMap<>(seen).forEach((k, v) -> w.println(k + "\t" + v));
            }
            ks.cleanUp();
            try (var s = Files.walk(dir)) { s.sorted(Comparator.reverseOrder()).forEach(f -> f.toFile().delete()); }
            List<String> mine = admin.listTopics().names().get().stream().filter(t -> t.startsWith(app + "-")).toList();
            admin.deleteTopics(mine).all().get();   // the group empties at session timeout and expires by itself
            System.exit(timeout || sum != unique ? 2 : 0);
        }
    }

    static boolean done() { return inputDone != null && appliedDone != null && emittedDone != null; }

    static Mark later(Mark x, Mark y) { return x.ns > y.ns ? x : y; }

    static void result(Mark end, long sum) {
        long second = records - records / 2;   // the second half of the input: most of the JIT's work is done
        System.out.printf("RESULT second_half_rate=%.0f second_half_cpu_rate=%.0f ok=%b%n",
            second * 1e9 / (end.ns - half.ns), second * 1e9 / (end.cpu - half.cpu), sum == unique);
    }

    static Map<String, Long> readCommitted(String bs, String topic, long want) {
        Map<String, Long> m = new HashMap<>();
        Map<String, Object> c = Map.of("bootstrap.servers", bs, "isolation.level", "read_committed",
            "auto.offset.reset", "earliest", "enable.auto.commit", "false");
        try (KafkaConsumer<String, Long> k = new KafkaConsumer<>(c, new StringDeserializer(), new LongDeserializer())) {
            k.assign(k.partitionsFor(topic).stream().map(i -> new TopicPartition(topic, i.partition())).toList());
            long sum = 0, end = System.nanoTime() + 60_000_000_000L;
            while (sum != want && System.nanoTime() < end)
                for (var r : k.poll(Duration.ofMillis(200))) {
                    Long o = m.put(r.key(), r.value());
                    sum += r.value() - (o == null ? 0 : o);
                }
        }
        return m;
    }
}
