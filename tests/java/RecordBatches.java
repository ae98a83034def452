// Writes and lists record batches with Apache Kafka's own code.
//
//   RecordBatches write SEED FILE          random batches of format v2 in all codecs and levels into FILE; lists them
//   RecordBatches write-legacy SEED FILE   the same in formats v0 and v1
//   RecordBatches list FILE                lists the batches of FILE, checksums verified
//
// The listing, one line for each batch and each record, is what a reader of any language can compare with its own.

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.KRaftVersionRecord;
import org.apache.kafka.common.message.LeaderChangeMessage;
import org.apache.kafka.common.message.SnapshotFooterRecord;
import org.apache.kafka.common.message.SnapshotHeaderRecord;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.DefaultRecordBatch;
import org.apache.kafka.common.utils.ByteBufferOutputStream;

public class RecordBatches {
    private static final String[] WORDS = {"", "a", "key", "trace-id", "größe", "流れ", "key"};

    private final Random random;
    private final ByteBufferOutputStream out = new ByteBufferOutputStream(1 << 20);

    private RecordBatches(long seed) {
        random = new Random(seed);
    }

    public static void main(String[] arguments) throws IOException {
        Path file = Path.of(arguments[arguments.length - 1]);
        switch (arguments[0]) {
            case "write" -> new RecordBatches(Long.parseLong(arguments[1])).write(file);
            case "write-legacy" -> new RecordBatches(Long.parseLong(arguments[1])).writeLegacy(file);
            case "list" -> { }
            default -> throw new IllegalArgumentException(arguments[0]);
        }
        list(file);
    }

    private void write(Path file) throws IOException {
        long offset = random.nextInt(1000);
        for (Compression compression : everySetting()) {
            for (int i = 0; i < 3; i++) {
                offset = writeBatch(RecordBatch.MAGIC_VALUE_V2, compression, offset) + random.nextInt(3);
            }
            offset = writeControlBatch(offset);
        }
        save(file);
    }

    private void writeLegacy(Path file) throws IOException {
        long offset = 0;
        for (byte magic : new byte[] {RecordBatch.MAGIC_VALUE_V0, RecordBatch.MAGIC_VALUE_V1}) {
            for (Compression compression : List.of(Compression.NONE, Compression.gzip().build(),
                    Compression.snappy().build(), Compression.lz4().build())) {
                for (int i = 0; i < 6; i++) {
                    offset = writeBatch(magic, compression, offset) + random.nextInt(3);
                }
            }
        }
        save(file);
    }

    private static List<Compression> everySetting() {
        List<Compression> all = new ArrayList<>(List.of(Compression.NONE, Compression.NONE, Compression.snappy().build()));
        for (int level = 1; level <= 9; level++) all.add(Compression.gzip().level(level).build());
        for (int level = 1; level <= 17; level++) all.add(Compression.lz4().level(level).build());
        for (int level = -7; level <= 22; level++) all.add(Compression.zstd().level(level).build());
        all.add(Compression.gzip().build());
        return all;
    }

    /** Appends a batch with random fields, and gives the offset after it. */
    private long writeBatch(byte magic, Compression compression, long baseOffset) {
        boolean logAppendTime = magic > 0 && random.nextInt(4) == 0;
        boolean idempotent = magic == 2 && random.nextBoolean();
        boolean transactional = idempotent && random.nextBoolean();
        long deleteHorizonMs = magic == 2 && random.nextInt(6) == 0 ? random.nextInt(1 << 30) : RecordBatch.NO_TIMESTAMP;
        TimestampType type = logAppendTime ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME;
        long now = 1_700_000_000_000L + random.nextInt();
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(out, magic, compression, type, baseOffset,
            logAppendTime ? now : RecordBatch.NO_TIMESTAMP,
            idempotent ? random.nextLong() >>> 1 : RecordBatch.NO_PRODUCER_ID,
            idempotent ? (short) random.nextInt(1 << 15) : RecordBatch.NO_PRODUCER_EPOCH,
            idempotent ? (random.nextBoolean() ? Integer.MAX_VALUE - random.nextInt(5) : random.nextInt(100)) : RecordBatch.NO_SEQUENCE,
            transactional, false, random.nextInt(100) - 1, 1 << 30, deleteHorizonMs);

        boolean large = random.nextInt(8) == 0;
        int count = 1 + random.nextInt(large ? 300 : 12);
        long offset = baseOffset;
        for (int i = 0; i < count; i++) {
            long timestamp = random.nextInt(20) == 0 ? RecordBatch.NO_TIMESTAMP : now + random.nextInt(2000) - 1000;
            Header[] headers = magic == 2 ? headers() : new Header[0];
            builder.appendWithOffset(offset, timestamp, nullableBytes(large), nullableBytes(large), headers);
            // Gaps as compaction leaves them.
            offset += random.nextInt(10) == 0 ? 1 + random.nextInt(1000) : 1;
        }
        if (magic == 2 && random.nextInt(6) == 0) {
            offset += random.nextInt(10);
            builder.overrideLastOffset(offset - 1);
        }
        builder.close();
        return offset;
    }

    private long writeControlBatch(long offset) {
        long now = 1_700_000_000_000L + random.nextInt();
        int epoch = random.nextInt(100);
        ByteBuffer buffer = ByteBuffer.allocate(512);
        MemoryRecords records = switch (random.nextInt(6)) {
            case 0 -> MemoryRecords.withLeaderChangeMessage(offset, now, epoch, buffer, new LeaderChangeMessage().setLeaderId(3));
            case 1 -> MemoryRecords.withSnapshotHeaderRecord(offset, now, epoch, buffer, new SnapshotHeaderRecord());
            case 2 -> MemoryRecords.withSnapshotFooterRecord(offset, now, epoch, buffer, new SnapshotFooterRecord());
            case 3 -> MemoryRecords.withKRaftVersionRecord(offset, now, epoch, buffer, new KRaftVersionRecord().setKRaftVersion((short) 1));
            default -> MemoryRecords.withEndTransactionMarker(offset, now, epoch, random.nextInt(1 << 20), (short) random.nextInt(100),
                new EndTransactionMarker(random.nextBoolean() ? ControlRecordType.COMMIT : ControlRecordType.ABORT, random.nextInt()));
        };
        out.write(records.buffer());
        return offset + 1;
    }

    private Header[] headers() {
        Header[] headers = new Header[Math.max(0, random.nextInt(8) - 4)];
        for (int i = 0; i < headers.length; i++) {
            headers[i] = new RecordHeader(WORDS[random.nextInt(WORDS.length)], nullableBytes(false));
        }
        return headers;
    }

    private byte[] nullableBytes(boolean large) {
        switch (random.nextInt(6)) {
            case 0: return null;
            case 1: return new byte[0];
            case 2: return WORDS[random.nextInt(WORDS.length)].getBytes(StandardCharsets.UTF_8);
            case 3: {
                byte[] noise = new byte[random.nextInt(large ? 4000 : 100)];
                random.nextBytes(noise);
                return noise;
            }
            default: {
                String text = "{\"id\":" + random.nextInt(1000) + ",\"name\":\"somebody\"}";
                return text.repeat(random.nextInt(large ? 100 : 4)).getBytes(StandardCharsets.UTF_8);
            }
        }
    }

    private void save(Path file) throws IOException {
        ByteBuffer buffer = out.buffer().duplicate();
        buffer.flip();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        Files.write(file, bytes);
    }

    private static void list(Path file) throws IOException {
        MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(file)));
        StringBuilder lines = new StringBuilder();
        for (MutableRecordBatch batch : records.batches()) {
            batch.ensureValid();
            if (batch instanceof DefaultRecordBatch v2) {
                lines.append(String.format("batch %d-%d epoch=%d %s %s timestamps=%d,%d producer=%d,%d,%d-%d count=%d%s%s%s%n",
                    batch.baseOffset(), batch.lastOffset(), batch.partitionLeaderEpoch(), batch.compressionType().name,
                    batch.timestampType(), v2.baseTimestamp(), batch.maxTimestamp(), batch.producerId(), batch.producerEpoch(),
                    batch.baseSequence(), batch.lastSequence(), batch.countOrNull(), batch.isTransactional() ? " transactional" : "",
                    batch.isControlBatch() ? " control" : "",
                    batch.deleteHorizonMs().isPresent() ? " horizon=" + batch.deleteHorizonMs().getAsLong() : ""));
            }
            for (Record record : batch) {
                record.ensureValid();
                lines.append(String.format("record %d at=%d key=%s value=%s", record.offset(), record.timestamp(),
                    hex(record.key()), hex(record.value())));
                for (Header header : record.headers()) {
                    byte[] value = header.value();
                    lines.append(" ").append(hex(ByteBuffer.wrap(header.key().getBytes(StandardCharsets.UTF_8))))
                        .append(":").append(hex(value == null ? null : ByteBuffer.wrap(value)));
                }
                lines.append(System.lineSeparator());
            }
        }
        System.out.print(lines);
    }

    private static String hex(ByteBuffer bytes) {
        if (bytes == null) return "null";
        byte[] copy = new byte[bytes.remaining()];
        bytes.duplicate().get(copy);
        return HexFormat.of().formatHex(copy);
    }
}
