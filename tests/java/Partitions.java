import java.util.HexFormat;
import java.util.Scanner;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.Utils;

/** Reads lines `hex-key partition-count`, and writes `murmur2 partition` for each: what Kafka's producer does with keys. */
public class Partitions {
    public static void main(String[] arguments) {
        Scanner in = new Scanner(System.in);
        while (in.hasNextLine()) {
            String[] words = in.nextLine().split(" ", -1);
            byte[] key = HexFormat.of().parseHex(words[0]);
            int partitions = Integer.parseInt(words[1]);
            System.out.println(Utils.murmur2(key) + " " + BuiltInPartitioner.partitionForKey(key, partitions));
        }
    }
}
