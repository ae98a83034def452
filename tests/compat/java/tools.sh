#!/usr/bin/env bash
# Apache Kafka's own command-line tools, as the scripts in its bin folder would start them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
wanted=("$@")
source "$here/../scenario.sh"
cache=${AFLUENTE_CACHE:-$HOME/.cache/afluente}
"$here/../../java/fetch.sh" kafka-4.3.1 || { echo "the jars of kafka-4.3.1 could not be fetched"; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# class CLASS ARGUMENT…: starts a JVM, helped by an archive of classes that one run of a tool has loaded.
archive=$cache/kafka-4.3.1/tools.jsa
class() {
    java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m "${archive_flag[@]}" \
        -Dlog4j2.configurationFile="$here/../../java/log4j2.properties" -cp "$cache/kafka-4.3.1/libs/*" "$@"
}
tool() { local name=$1; shift; class "org.apache.kafka.tools.$name" "$@"; }
# at CLASS ARGUMENT…: a tool that takes --bootstrap-server.
at() { local class=$1; shift; tool "$class" --bootstrap-server "$BOOTSTRAP" "$@"; }
if [ ! -f "$archive" ]; then
    archive_flag=("-XX:ArchiveClassesAtExit=$archive.$$")
    at TopicCommand --list >&2
    mv "$archive.$$" "$archive"
fi
archive_flag=("-XX:SharedArchiveFile=$archive" -Xshare:auto)

topic() { unique tools; at TopicCommand --create --topic "$unique" "$@" >&2; }
# fill TOPIC COUNT
fill() { seq 1 "$2" | at ConsoleProducer --topic "$1" >&2; }

kafka_topics() {
    local topic said
    topic --partitions 3 --config retention.ms=60000
    topic=$unique
    said=$(at TopicCommand --describe --topic "$topic")
    has "$said" "PartitionCount: 3"
    has "$said" "ReplicationFactor: 1"
    has "$said" "Configs:.*retention.ms=60000"
    has "$said" "Partition: 2.*Leader: [0-9]+.*Isr: [0-9]+.*Elr:"
    said=$(at TopicCommand --create --topic "$topic" 2>&1 || true)
    has "$said" "already exists"
    at TopicCommand --alter --topic "$topic" --partitions 5
    said=$(at TopicCommand --describe --topic "$topic")
    has "$said" "PartitionCount: 5"
    has "$(at TopicCommand --list)" "^$topic$"
    at TopicCommand --delete --topic "$topic"
    said=$(at TopicCommand --describe --topic "$topic" 2>&1 || true)
    has "$said" "does not exist"
}

console_producer_and_consumer() {
    local topic said
    topic --partitions 1
    topic=$unique
    printf 'h1:a,h2:b\tk1\tv1\nNULL\tk2\tNULL\n' | at ConsoleProducer --topic "$topic" --reader-property parse.key=true \
        --reader-property parse.headers=true --reader-property null.marker=NULL
    said=$(at consumer.ConsoleConsumer --topic "$topic" --from-beginning --max-messages 2 \
        --formatter-property print.key=true --formatter-property print.headers=true \
        --formatter-property print.offset=true --formatter-property print.partition=true)
    same "$said" "$(printf 'Partition:0\tOffset:0\th1:a,h2:b\tk1\tv1\nPartition:0\tOffset:1\tNO_HEADERS\tk2\tnull')"
    for codec in gzip snappy lz4 zstd; do
        seq 1 500 | at ConsoleProducer --topic "$topic" --compression-codec $codec
    done
    said=$(at consumer.ConsoleConsumer --topic "$topic" --partition 0 --offset 2 --max-messages 2000 | sort -n | uniq -c | awk '{print $1}' | sort -u)
    same "$said" 4
}

console_consumer_of_internal_topics() {
    local topic said
    topic
    topic=$unique
    fill "$topic" 10
    at consumer.ConsoleConsumer --topic "$topic" --from-beginning --max-messages 10 --group "$topic-g" >&2
    said=$(at consumer.ConsoleConsumer --topic __consumer_offsets --from-beginning --timeout-ms 15000 \
        --formatter org.apache.kafka.tools.consumer.OffsetsMessageFormatter)
    has "$said" "\"group\":\"$topic-g\",\"topic\":\"$topic\""
}

perf_tools() {
    local topic said
    topic --partitions 3
    topic=$unique
    said=$(at ProducerPerformance --topic "$topic" --num-records 20000 --record-size 1000 --throughput -1 \
        --producer-props acks=all batch.size=65536 2>/dev/null || tool ProducerPerformance --topic "$topic" --num-records 20000 \
        --record-size 1000 --throughput -1 --producer-props acks=all bootstrap.servers="$BOOTSTRAP")
    has "$said" "20000 records sent"
    said=$(tool ProducerPerformance --topic "$topic" --num-records 2000 --record-size 100 --throughput -1 \
        --transactional-id "$topic-txn" --transaction-duration-ms 100 --producer-props bootstrap.servers="$BOOTSTRAP")
    has "$said" "2000 records sent"
    said=$(at ConsumerPerformance --topic "$topic" --messages 22000 --timeout 30000)
    has "$said" ", 22000,"
    topic
    said=$(tool EndToEndLatency --bootstrap-server "$BOOTSTRAP" --topic "$unique" --num-records 200 --producer-acks all --record-size 100)
    has "$said" "Percentiles"
}

verifiable_producer_and_consumer() {
    local topic said
    topic --partitions 2
    topic=$unique
    said=$(tool VerifiableProducer --bootstrap-server "$BOOTSTRAP" --topic "$topic" --max-messages 500 --acks -1)
    has "$said" '"sent":500,"acked":500'
    said=$(tool VerifiableConsumer --bootstrap-server "$BOOTSTRAP" --topic "$topic" --group-id "$topic-g" --max-messages 500 \
        --reset-policy earliest --verbose)
    same "$(grep -c '"name":"record_data"' <<<"$said")" 500
    has "$said" '"name":"offsets_committed".*"success":true'
}

consumer_groups() {
    local topic group said
    topic --partitions 2
    topic=$unique
    group=$topic-g
    fill "$topic" 100
    at consumer.ConsoleConsumer --topic "$topic" --from-beginning --max-messages 100 --group "$group" >&2
    groups() { at consumer.group.ConsumerGroupCommand "$@"; }
    has "$(groups --list)" "^$group$"
    has "$(groups --list --state)" "$group.*Empty"
    said=$(groups --describe --group "$group" 2>&1)
    same "$(awk -v t="$topic" '$2 == t {sum += $4} END {print sum}' <<<"$said")" 100
    has "$(groups --describe --group "$group" --state 2>&1)" "Empty"
    groups --reset-offsets --group "$group" --topic "$topic" --to-earliest --execute >&2
    said=$(groups --describe --group "$group" 2>&1)
    same "$(awk -v t="$topic" '$2 == t {sum += $6} END {print sum}' <<<"$said")" 100
    groups --reset-offsets --group "$group" --topic "$topic:0" --to-offset 0 --execute >&2
    groups --delete-offsets --group "$group" --topic "$topic:1" >&2
    said=$(groups --describe --group "$group" --offsets 2>&1)
    has "$said" "$topic +0 +0 "
    has "$(groups --delete --group "$group")" "successful"
    said=$(groups --describe --group "$group" 2>&1 || true)
    has "$said" "not found"
}

configs() {
    local topic said
    topic
    topic=$unique
    command() { class kafka.admin.ConfigCommand --bootstrap-server "$BOOTSTRAP" "$@"; }
    has "$(command --alter --topic "$topic" --add-config max.message.bytes=2000,cleanup.policy='[compact,delete]')" "Completed"
    said=$(command --describe --topic "$topic")
    has "$said" "max.message.bytes=2000 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:max.message.bytes=2000, DEFAULT_CONFIG:message.max.bytes=1048588\}"
    has "$said" "cleanup.policy=compact,delete"
    command --alter --topic "$topic" --delete-config max.message.bytes >&2
    has "$(command --describe --topic "$topic" --all)" "max.message.bytes=1048588.*DEFAULT_CONFIG"
    said=$(command --alter --topic "$topic" --add-config nonsense=1 2>&1 || true)
    has "$said" "[Uu]nknown"
    command --alter --broker-defaults --add-config log.cleaner.threads=2 >&2
    has "$(command --describe --broker-defaults)" "log.cleaner.threads=2"
    command --alter --broker-defaults --delete-config log.cleaner.threads >&2
}

get_offsets() {
    local topic said
    topic --partitions 2
    topic=$unique
    fill "$topic" 50
    same "$(at GetOffsetShell --topic "$topic" | awk -F: '{sum += $3} END {print NR, sum}')" "2 50"
    same "$(at GetOffsetShell --topic "$topic" --time earliest | awk -F: '{sum += $3} END {print NR, sum}')" "2 0"
    at GetOffsetShell --topic "$topic" --time max-timestamp >&2
}

delete_records_and_log_dirs() {
    local topic said
    topic
    topic=$unique
    fill "$topic" 50
    echo "{\"partitions\":[{\"topic\":\"$topic\",\"partition\":0,\"offset\":20}],\"version\":1}" >"$work/delete.json"
    has "$(at DeleteRecordsCommand --offset-json-file "$work/delete.json")" "low_watermark: 20"
    same "$(at GetOffsetShell --topic "$topic" --time earliest)" "$topic:0:20"
    said=$(at LogDirsCommand --describe --topic-list "$topic")
    has "$said" "\"partition\":\"$topic-0\",\"size\":[1-9][0-9]*,\"offsetLag\":0,\"isFuture\":false"
}

transactions() {
    local topic said
    topic
    topic=$unique
    tool ProducerPerformance --topic "$topic" --num-records 10 --record-size 10 --throughput -1 --transactional-id "$topic-txn" \
        --transaction-duration-ms 60000 --producer-props bootstrap.servers="$BOOTSTRAP" >&2
    said=$(at TransactionsCommand list)
    has "$said" "$topic-txn.*CompleteCommit"
    has "$(at TransactionsCommand describe --transactional-id "$topic-txn")" "CompleteCommit"
    has "$(at TransactionsCommand describe-producers --topic "$topic" --partition 0)" "None"
    at TransactionsCommand find-hanging --topic "$topic" --partition 0 >&2
}

features_versions_and_cluster() {
    local said
    said=$(at FeatureCommand describe)
    has "$said" "Feature: metadata.version.*FinalizedVersionLevel: 4\.[0-9]"
    has "$said" "Feature: transaction.version.*FinalizedVersionLevel: 2"
    has "$said" "Feature: group.version.*FinalizedVersionLevel: 1"
    said=$(at BrokerApiVersionsCommand)
    has "$said" "Produce\(0\): 0 to 13"
    has "$said" "Fetch\(1\): 4 to 18"
    has "$said" "ConsumerGroupHeartbeat\(68\): 0 to 1"
    has "$(tool ClusterTool cluster-id --bootstrap-server "$BOOTSTRAP")" "Cluster ID: .+"
    has "$(tool ClusterTool list-endpoints --bootstrap-server "$BOOTSTRAP")" "${BOOTSTRAP##*:}"
}

the_quorum_is_described() { has "$(at MetadataQuorumCommand describe --status)" "LeaderId: "; }

leaders_are_elected_and_replicas_moved_in_vain() {
    local topic said node
    topic
    topic=$unique
    node=$(at TopicCommand --describe --topic "$topic" | sed -n 's/.*Leader: \([0-9]*\).*/\1/p')
    at LeaderElectionCommand --election-type preferred --topic "$topic" --partition 0 >&2
    echo "{\"version\":1,\"partitions\":[{\"topic\":\"$topic\",\"partition\":0,\"replicas\":[$node]}]}" >"$work/move.json"
    at reassign.ReassignPartitionsCommand --reassignment-json-file "$work/move.json" --execute >&2
    has "$(at reassign.ReassignPartitionsCommand --reassignment-json-file "$work/move.json" --verify)" "completed"
}

run kafka_topics console_producer_and_consumer console_consumer_of_internal_topics perf_tools \
    verifiable_producer_and_consumer consumer_groups configs get_offsets delete_records_and_log_dirs transactions \
    features_versions_and_cluster the_quorum_is_described leaders_are_elected_and_replicas_moved_in_vain
