/* librdkafka as the peer of `afluente-bench client-consume`, which compiles and runs this.
 *
 *   consume BOOTSTRAP TOPIC PARTITIONS COUNT POLL_RECORDS key=value…
 *
 * Reads COUNT records from the beginning of all partitions, as many as POLL_RECORDS at once, looks at
 * the first byte of each, and prints wall time and processor time in nanoseconds. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

int main(int argc, char **argv) {
    if (argc < 6) fail("consume BOOTSTRAP TOPIC PARTITIONS COUNT POLL_RECORDS key=value...");
    int partitions = atoi(argv[3]);
    size_t count = strtoul(argv[4], NULL, 10), at_once = strtoul(argv[5], NULL, 10);
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], error, sizeof error)) fail(error);
    if (rd_kafka_conf_set(conf, "group.id", "afluente-bench", error, sizeof error)) fail(error);
    if (rd_kafka_conf_set(conf, "enable.auto.commit", "false", error, sizeof error)) fail(error);
    for (int at = 6; at < argc; at++) {
        char *value = strchr(argv[at], '=');
        if (!value) fail("a setting is key=value");
        *value++ = 0;
        if (rd_kafka_conf_set(conf, argv[at], value, error, sizeof error)) fail(error);
    }
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
    if (!consumer) fail(error);
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_message_t **messages = malloc(at_once * sizeof *messages);

    long long wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    rd_kafka_topic_partition_list_t *assigned = rd_kafka_topic_partition_list_new(partitions);
    for (int partition = 0; partition < partitions; partition++) {
        rd_kafka_topic_partition_list_add(assigned, argv[2], partition)->offset = RD_KAFKA_OFFSET_BEGINNING;
    }
    if (rd_kafka_assign(consumer, assigned)) fail("assign");
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(consumer);
    size_t seen = 0;
    unsigned long long sum = 0;
    while (seen < count) {
        ssize_t got = rd_kafka_consume_batch_queue(queue, 1000, messages, at_once);
        if (got < 0) fail("consume");
        for (ssize_t n = 0; n < got; n++) {
            if (messages[n]->err) {
                fail(rd_kafka_message_errstr(messages[n]));
            } else {
                sum += messages[n]->len ? ((unsigned char *)messages[n]->payload)[0] : 0;
                seen++;
            }
            rd_kafka_message_destroy(messages[n]);
        }
    }
    wall = now(CLOCK_MONOTONIC) - wall, cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    if (sum < seen * 'a') fail("the records are not those that were sent");
    printf("%lld %lld\n", wall, cpu);
    return 0;
}
