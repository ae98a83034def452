/* librdkafka as the client of `afluente-bench versus`, which compiles and runs this.
 *
 *   versus consume BOOTSTRAP TOPIC PARTITIONS COUNT key=value…
 *       reads COUNT records from the beginning of all partitions; prints wall time, processor time
 *       of this process (ns) and bytes of values
 *   versus request BOOTSTRAP TOPIC RECORD_BYTES COUNT key=value…
 *       one record at a time, each sent when the one before was acknowledged; prints the wall time
 *       of all, then each latency (ns)
 *   versus latency BOOTSTRAP TOPIC PARTITIONS RECORD_BYTES RATE SECONDS key=value…
 *       sends RATE records a second, at times that were fixed before, and consumes them meanwhile;
 *       prints the wall time, then the latency of each record (ns), from when it should have been
 *       sent until a consumer had it; those of the first second do not count
 *
 * Anything that fails is an error. */
#define _GNU_SOURCE
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

static long long now(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *key, const char *value) {
    char error[512];
    if (rd_kafka_conf_set(conf, key, value, error, sizeof error)) fail(error);
}

/* A client with the settings from `argv[from]` on; those that the other kind alone knows are not
 * for it: they are written as `producer:key=value` and `consumer:key=value`. */
static rd_kafka_t *client(rd_kafka_type_t type, const char *bootstrap, int argc, char **argv, int from,
                          void (*on_delivery)(rd_kafka_t *, const rd_kafka_message_t *, void *)) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", bootstrap);
    const char *mine = type == RD_KAFKA_PRODUCER ? "producer:" : "consumer:";
    for (int at = from; at < argc; at++) {
        char *word = strdup(argv[at]);
        char *value = strchr(word, '=');
        if (!value) fail("a setting is key=value");
        *value++ = 0;
        char *colon = strchr(word, ':');
        if (colon && strncmp(word, mine, strlen(mine))) continue;
        set(conf, colon ? colon + 1 : word, value);
    }
    if (on_delivery) rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    char error[512];
    rd_kafka_t *made = rd_kafka_new(type, conf, error, sizeof error);
    if (!made) fail(error);
    return made;
}

/* All partitions of a topic into one queue, from `offset` on. */
static rd_kafka_queue_t *consume_all(rd_kafka_t *consumer, const char *name, int partitions, int64_t offset) {
    rd_kafka_topic_t *topic = rd_kafka_topic_new(consumer, name, NULL);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(consumer);
    for (int partition = 0; partition < partitions; partition++)
        if (rd_kafka_consume_start_queue(topic, partition, offset, queue)) fail("consume_start");
    return queue;
}

static size_t consumed;
static long long consumed_bytes;

static void on_message(rd_kafka_message_t *message, void *opaque) {
    (void)opaque;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        consumed_bytes += message->len;
        consumed++;
    } else if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        fail(rd_kafka_message_errstr(message));
    }
}

static int consume(int argc, char **argv) {
    if (argc < 6) fail("versus consume BOOTSTRAP TOPIC PARTITIONS COUNT key=value...");
    size_t count = strtoul(argv[5], NULL, 10);
    rd_kafka_t *consumer = client(RD_KAFKA_CONSUMER, argv[2], argc, argv, 6, NULL);
    /* Connections and metadata come before the measurement. */
    const struct rd_kafka_metadata *metadata;
    if (rd_kafka_metadata(consumer, 1, NULL, &metadata, 30000)) fail("metadata");
    rd_kafka_metadata_destroy(metadata);
    long long wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    rd_kafka_queue_t *queue = consume_all(consumer, argv[3], atoi(argv[4]), RD_KAFKA_OFFSET_BEGINNING);
    while (consumed < count)
        if (rd_kafka_consume_callback_queue(queue, 30000, on_message, NULL) == 0) fail("nothing came for half a minute");
    wall = now(CLOCK_MONOTONIC) - wall, cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("%lld %lld %lld\n", wall, cpu, consumed_bytes);
    fflush(stdout);
    _Exit(0);
}

static size_t delivered;

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque) {
    (void)producer;
    (void)opaque;
    if (message->err) fail(rd_kafka_err2str(message->err));
    delivered++;
}

static int request(int argc, char **argv) {
    if (argc < 6) fail("versus request BOOTSTRAP TOPIC RECORD_BYTES COUNT key=value...");
    size_t record_bytes = strtoul(argv[4], NULL, 10), count = strtoul(argv[5], NULL, 10), warm_up = 200;
    rd_kafka_t *producer = client(RD_KAFKA_PRODUCER, argv[2], argc, argv, 6, on_delivery);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, argv[3], NULL);
    char *record = calloc(1, record_bytes);
    long long *latencies = calloc(count, sizeof *latencies), started = 0;
    for (size_t at = 0; at < warm_up + count; at++) {
        long long sent = now(CLOCK_MONOTONIC);
        if (at == warm_up) {
            /* Who reads the broker's processor time looks at both ends of the measured part. */
            printf("start\n");
            fflush(stdout);
            if (getchar() == EOF) fail("nobody listens");
            started = sent = now(CLOCK_MONOTONIC);
        }
        if (rd_kafka_produce(topic, 0, RD_KAFKA_MSG_F_COPY, record, record_bytes, NULL, 0, NULL)) fail("produce");
        while (delivered <= at) rd_kafka_poll(producer, 1000);
        if (at >= warm_up) latencies[at - warm_up] = now(CLOCK_MONOTONIC) - sent;
    }
    printf("end %lld\n", now(CLOCK_MONOTONIC) - started);
    fflush(stdout);
    for (size_t at = 0; at < count; at++) printf("%lld\n", latencies[at]);
    return 0;
}

struct receiver {
    rd_kafka_queue_t *queue;
    long long *latencies;
    size_t count, warm_up;
};

static void *receive(void *argument) {
    struct receiver *receiver = argument;
    for (size_t seen = 0; seen < receiver->count;) {
        rd_kafka_message_t *message = rd_kafka_consume_queue(receiver->queue, 30000);
        if (!message) fail("nothing came for half a minute");
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            long long header[2];
            memcpy(header, message->payload, sizeof header);
            if (header[1] >= 0) {
                receiver->latencies[header[1]] = now(CLOCK_MONOTONIC) - header[0];
                seen++;
            }
        } else if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            fail(rd_kafka_message_errstr(message));
        }
        rd_kafka_message_destroy(message);
    }
    return NULL;
}

static int latency(int argc, char **argv) {
    if (argc < 8) fail("versus latency BOOTSTRAP TOPIC PARTITIONS RECORD_BYTES RATE SECONDS key=value...");
    int partitions = atoi(argv[4]);
    size_t record_bytes = strtoul(argv[5], NULL, 10), rate = strtoul(argv[6], NULL, 10);
    size_t count = rate * (1 + strtoul(argv[7], NULL, 10));
    if (record_bytes < 16) fail("a record has at least 16 bytes");
    prctl(PR_SET_TIMERSLACK, 1);
    rd_kafka_t *producer = client(RD_KAFKA_PRODUCER, argv[2], argc, argv, 8, on_delivery);
    rd_kafka_t *consumer = client(RD_KAFKA_CONSUMER, argv[2], argc, argv, 8, NULL);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, argv[3], NULL);
    long long *latencies = malloc(count * sizeof *latencies);
    for (size_t at = 0; at < count; at++) latencies[at] = -1;
    long long *record = calloc(1, record_bytes);

    /* One record in each partition, so that all connections are there. */
    record[1] = -1;
    for (int partition = 0; partition < partitions; partition++)
        if (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, record, record_bytes, NULL, 0, NULL)) fail("produce");
    if (rd_kafka_flush(producer, 60000)) fail("warm-up was not delivered");
    rd_kafka_queue_t *queue = consume_all(consumer, argv[3], partitions, RD_KAFKA_OFFSET_BEGINNING);
    struct receiver receiver = {queue, latencies, count, rate};
    pthread_t thread;
    if (pthread_create(&thread, NULL, receive, &receiver)) fail("pthread_create");

    printf("start\n");
    fflush(stdout);
    if (getchar() == EOF) fail("nobody listens");
    long long start = now(CLOCK_MONOTONIC) + 1000000;
    for (size_t at = 0; at < count; at++) {
        long long due = start + (long long)(at * 1000000000ULL / rate);
        struct timespec until = {due / 1000000000LL, due % 1000000000LL};
        if (now(CLOCK_MONOTONIC) < due) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        record[0] = due, record[1] = (long long)at;
        if (rd_kafka_produce(topic, at % partitions, RD_KAFKA_MSG_F_COPY, record, record_bytes, NULL, 0, NULL)) fail("produce");
        if (at % 16 == 0) rd_kafka_poll(producer, 0);
    }
    rd_kafka_flush(producer, 60000);
    pthread_join(thread, NULL);
    printf("end %lld\n", now(CLOCK_MONOTONIC) - start);
    fflush(stdout);
    for (size_t at = receiver.warm_up; at < count; at++) printf("%lld\n", latencies[at]);
    fflush(stdout);
    _Exit(0);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "consume")) return consume(argc, argv);
    if (argc > 1 && !strcmp(argv[1], "request")) return request(argc, argv);
    if (argc > 1 && !strcmp(argv[1], "latency")) return latency(argc, argv);
    fail("consume, request or latency?");
    return 1;
}
