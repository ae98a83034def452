// A producer of your own: measurements of a river, two a second, until Ctrl-C.
//
//     mvn --quiet --file docs/tour compile exec:java [-Dexec.args=localhost:9092]

import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public final class Producer {
    public static void main(String[] args) throws InterruptedException {
        String server = args.length > 0 ? args[0] : "localhost:9092";
        Map<String, Object> config = Map.of("bootstrap.servers", server);
        double level = 2.0;
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            while (true) {
                level = Math.max(0.5, level + ThreadLocalRandom.current().nextDouble(-0.1, 0.1));
                String value = String.format(Locale.ROOT, "{\"station\":\"bridge\",\"level\":%.2f}", level);
                // The callback comes once the broker has the message on its disk, or never will.
                producer.send(new ProducerRecord<>("river", "bridge", value), (written, error) -> {
                    if (error != null) {
                        System.out.println("not written: " + error.getMessage());
                    } else {
                        System.out.println("written: partition " + written.partition() + ", offset " + written.offset());
                    }
                });
                Thread.sleep(500);
            }
        }
    }
}
