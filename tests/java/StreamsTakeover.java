import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;

/**
 * Windowed counts and a foreign-key join, run by Kafka Streams until standard input ends. Prints the topology, and RUNNING. The same
 * application of ours is in crates/streams/tests/it/runtime/takeover.rs.
 */
public class StreamsTakeover {
    public static void main(final String[] args) throws Exception {
        final Properties config = new Properties();
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, args[1]);
        config.put(StreamsConfig.STATE_DIR_CONFIG, args[2]);
        config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
        final Topology topology = topology();
        System.out.print(topology.describe());
        final KafkaStreams streams = new KafkaStreams(topology, config);
        final CountDownLatch running = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) {
                running.countDown();
            }
        });
        streams.start();
        running.await();
        System.out.println("RUNNING");
        while (System.in.read() >= 0) { }
        final CloseOptions leave = CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP);
        if (!streams.close(leave.withTimeout(Duration.ofSeconds(30)))) {
            throw new IllegalStateException("the application did not close");
        }
    }

    static Topology topology() {
        final StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream("clicks")
            .groupByKey()
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Duration.ofHours(1)))
            .count(Materialized.as("windows"))
            .toStream()
            .map((window, count) -> KeyValue.pair(window.key() + "@" + window.window().start(), count))
            .to("window-counts", Produced.with(Serdes.String(), Serdes.Long()));
        final KTable<String, String> orders = builder.table("orders", Consumed.with(Serdes.String(), Serdes.String()), Materialized.as("orders"));
        final KTable<String, String> customers = builder.table("customers", Consumed.with(Serdes.String(), Serdes.String()), Materialized.as("customers"));
        orders.<String, String, String>join(
                customers,
                (String order) -> order.split(":")[0],
                (String order, String customer) -> order + " for " + customer,
                Materialized.as("joined"))
            .toStream()
            .to("mails");
        return builder.build();
    }
}
