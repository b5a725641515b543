import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.IntegerDeserializer;
import org.apache.kafka.common.serialization.IntegerSerializer;

/**
 * Creates topics, writes and reads at the brokers named by the argument, and prints what it sees. At
 * each "@restart" it waits for a line: meanwhile brokers are killed or come back.
 */
public final class Traffic {
    private static final int PART = 300;
    private static final int LIMIT_MS = 200_000;

    private final Admin admin;
    private final Map<String, Object> common = new HashMap<>();

    private Traffic(String brokers) {
        common.put("bootstrap.servers", brokers);
        common.put("request.timeout.ms", 60_000);
        common.put("default.api.timeout.ms", LIMIT_MS);
        common.put("reconnect.backoff.max.ms", 200);
        admin = Admin.create(new HashMap<>(common));
    }

    public static void main(String[] args) throws Exception {
        Traffic traffic = new Traffic(args[0]);
        traffic.run();
        System.out.println("done");
        // No thread of the library is waited for.
        System.exit(0);
    }

    private void run() throws Exception {
        createTopic("orders", 3, 3);
        awaitInSync("orders", 3);
        Map<String, Object> settings = new HashMap<>(common);
        settings.put("acks", "all");
        settings.put("enable.idempotence", true);
        settings.put("delivery.timeout.ms", LIMIT_MS);
        settings.put("max.block.ms", (long) LIMIT_MS);
        settings.put("linger.ms", 0);
        try (KafkaProducer<Integer, Integer> producer =
                new KafkaProducer<>(settings, new IntegerSerializer(), new IntegerSerializer())) {
            produce(producer, 0);
            pause();
            // The controller is gone, and so is the ZooKeeper server that led.
            produce(producer, 1);
            createTopic("returns", 2, 2);
            awaitInSync("returns", 2);
            ConfigResource orders = new ConfigResource(ConfigResource.Type.TOPIC, "orders");
            alter(orders, "retention.ms", "86400001");
            pause();
            // All are there again.
            awaitInSync("orders", 3);
            produce(producer, 2);
            String retention = attempt(() -> admin.describeConfigs(List.of(orders)).all())
                    .get(orders).get("retention.ms").value();
            System.out.println("retention " + retention);
        }
        consume();
        changed(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(List.of("returns")).all());
        Set<String> names;
        long deadline = System.currentTimeMillis() + LIMIT_MS;
        do {
            names = attempt(() -> admin.listTopics().names());
            within(deadline, "the topic is listed after its deletion");
        } while (names.contains("returns"));
        System.out.println("topics " + names);
    }

    private void createTopic(String name, int partitions, int replicas) throws Exception {
        NewTopic topic = new NewTopic(name, partitions, (short) replicas);
        topic.configs(Map.of("min.insync.replicas", "2"));
        changed(TopicExistsException.class, () -> admin.createTopics(List.of(topic)).all());
        System.out.println("created " + name);
    }

    private void alter(ConfigResource resource, String key, String value) throws Exception {
        Collection<AlterConfigOp> change =
                List.of(new AlterConfigOp(new ConfigEntry(key, value), AlterConfigOp.OpType.SET));
        attempt(() -> admin.incrementalAlterConfigs(Map.of(resource, change)).all());
        System.out.println("altered " + key);
    }

    private void awaitInSync(String topic, int replicas) throws Exception {
        long deadline = System.currentTimeMillis() + LIMIT_MS;
        while (true) {
            try {
                TopicDescription seen =
                        attempt(() -> admin.describeTopics(List.of(topic)).allTopicNames()).get(topic);
                if (seen.partitions().stream().allMatch(p -> p.isr().size() == replicas)) {
                    break;
                }
            } catch (ExecutionException e) {
                if (!(e.getCause() instanceof RetriableException)) {
                    throw e;
                }
            }
            within(deadline, topic + " has no " + replicas + " replicas in sync");
        }
        System.out.println("in sync " + topic + " " + replicas);
    }

    private void produce(KafkaProducer<Integer, Integer> producer, int part) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (int i = 0; i < PART; i++) {
            sent.add(producer.send(new ProducerRecord<>("orders", i % 3, part, part * PART + i)));
        }
        producer.flush();
        for (Future<RecordMetadata> one : sent) {
            one.get();
        }
        System.out.println("produced " + part);
    }

    /** Every record once, in the order of its partition. */
    private void consume() throws Exception {
        Map<String, Object> settings = new HashMap<>(common);
        settings.put("group.id", "readers");
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", false);
        int[] last = {-1, -1, -1};
        int count = 0;
        long deadline = System.currentTimeMillis() + LIMIT_MS;
        try (KafkaConsumer<Integer, Integer> consumer =
                new KafkaConsumer<>(settings, new IntegerDeserializer(), new IntegerDeserializer())) {
            consumer.subscribe(List.of("orders"));
            while (count < 3 * PART) {
                for (ConsumerRecord<Integer, Integer> record : consumer.poll(Duration.ofMillis(500))) {
                    int before = last[record.partition()];
                    int expected = before < 0 ? record.partition() : before + 3;
                    if (record.value() != expected) {
                        throw new IllegalStateException(record.value() + " instead of " + expected);
                    }
                    last[record.partition()] = record.value();
                    count++;
                }
                // Who has to join the group again goes on from here, not from the earliest.
                consumer.commitSync(Duration.ofMillis(LIMIT_MS));
                within(deadline, "only " + count + " records");
            }
        }
        System.out.println("consumed " + count);
    }

    private static void within(long deadline, String what) throws Exception {
        if (System.currentTimeMillis() > deadline) {
            throw new IllegalStateException(what);
        }
        TimeUnit.MILLISECONDS.sleep(50);
    }

    /** The library repeats what got no answer in time; then it may be done already. */
    private static void changed(Class<?> done, Supplier<KafkaFuture<Void>> call)
            throws Exception {
        try {
            attempt(call);
        } catch (ExecutionException e) {
            if (!done.isInstance(e.getCause())) {
                throw e;
            }
        }
    }

    private static <T> T attempt(Supplier<KafkaFuture<T>> call) throws Exception {
        return call.get().get(LIMIT_MS, TimeUnit.MILLISECONDS);
    }

    private static void pause() throws Exception {
        System.out.println("@restart");
        System.out.flush();
        if (System.in.read() < 0) {
            throw new IllegalStateException("the test has gone");
        }
    }
}
