/* librdkafka as the peer of `afluente-bench client-produce`, which compiles and runs this.
 *
 *   produce BOOTSTRAP TOPIC RECORD_BYTES COUNT key=value…
 *
 * Sends COUNT records, waits until each was acknowledged, and prints wall time and processor time
 * in nanoseconds. Any record that fails is an error. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static size_t delivered, failed;

static void on_delivery(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque) {
    (void)producer;
    (void)opaque;
    if (message->err) {
        if (failed++ == 0) fprintf(stderr, "not delivered: %s\n", rd_kafka_err2str(message->err));
    } else {
        delivered++;
    }
}

static long long now(clockid_t clock) {
    struct timespec at;
    clock_gettime(clock, &at);
    return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

int main(int argc, char **argv) {
    if (argc < 5) fail("produce BOOTSTRAP TOPIC RECORD_BYTES COUNT key=value...");
    size_t record_bytes = strtoul(argv[3], NULL, 10), count = strtoul(argv[4], NULL, 10);
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], error, sizeof error)) fail(error);
    for (int at = 5; at < argc; at++) {
        char *value = strchr(argv[at], '=');
        if (!value) fail("a setting is key=value");
        *value++ = 0;
        if (rd_kafka_conf_set(conf, argv[at], value, error, sizeof error)) fail(error);
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (!producer) fail(error);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer, argv[2], NULL);

    /* The same text as our side sends. */
    size_t text_bytes = 1 << 20;
    char *text = malloc(text_bytes + record_bytes);
    for (size_t at = 0; at < text_bytes + record_bytes; at++) text[at] = 'a' + (at * 7919 >> 5) % 26;

    /* Metadata and connections come before the measurement, as on our side. */
    if (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, text, 1, NULL, 0, NULL)) fail("warm-up");
    rd_kafka_flush(producer, 60000);
    if (delivered != 1) fail("warm-up was not delivered");
    delivered = 0;

    long long wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t n = 0; n < count; n++) {
        char *payload = text + n * record_bytes % text_bytes;
        while (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, payload, record_bytes, NULL, 0, NULL)) {
            if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) fail("produce");
            rd_kafka_poll(producer, 10);
        }
        if (n % 1024 == 0) rd_kafka_poll(producer, 0);
    }
    rd_kafka_flush(producer, 120000);
    wall = now(CLOCK_MONOTONIC) - wall, cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    if (delivered != count || failed) fail("records were lost");
    printf("%lld %lld\n", wall, cpu);
    return 0;
}
