// Command kafkago runs the scenarios through segmentio's kafka-go, which speaks old versions of the protocol only.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"afluente/compat/scenario"

	"github.com/segmentio/kafka-go"
)

type T = scenario.T

func main() {
	scenario.Run(
		scenario.Scenario{Name: "topics_are_created_described_grown_and_deleted", Run: topics},
		scenario.Scenario{Name: "every_codec_comes_back_as_it_went", Run: codecs},
		scenario.Scenario{Name: "headers_keep_order_duplicates_and_nulls", Run: headers},
		scenario.Scenario{Name: "messages_of_ten_megabytes_pass_where_allowed", Run: big},
		scenario.Scenario{Name: "a_group_rebalances_while_producing", Run: rebalance},
		scenario.Scenario{Name: "offsets_are_found_by_time", Run: times},
		scenario.Scenario{Name: "a_connection_reads_and_writes_one_partition", Run: connection},
		scenario.Scenario{Name: "configs_and_groups_are_described_and_altered", Run: admin},
		scenario.Scenario{Name: "a_restart_in_the_middle_loses_nothing", Run: func(t *T) { restart(t, "restart") }},
		scenario.Scenario{Name: "a_crash_in_the_middle_loses_nothing", Run: func(t *T) { restart(t, "crash") }},
	)
}

func client() *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(scenario.Bootstrap), Timeout: 30 * time.Second}
}

func create(t *T, partitions int, settings ...string) string {
	topic := scenario.Unique("kafkago")
	config := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}
	for i := 0; i < len(settings); i += 2 {
		config.ConfigEntries = append(config.ConfigEntries, kafka.ConfigEntry{ConfigName: settings[i], ConfigValue: settings[i+1]})
	}
	created, err := client().CreateTopics(t.Ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{config}})
	t.OK(err)
	t.OK(created.Errors[topic])
	t.Until("the topic", func() bool { return partitionCount(t, topic) == partitions })
	return topic
}

func partitionCount(t *T, topic string) int {
	metadata, err := client().Metadata(t.Ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	t.OK(err)
	if metadata.Topics[0].Error != nil {
		return 0
	}
	return len(metadata.Topics[0].Partitions)
}

func writer(topic string) *kafka.Writer {
	return &kafka.Writer{Addr: kafka.TCP(scenario.Bootstrap), Topic: topic, RequiredAcks: kafka.RequireAll,
		BatchTimeout: 5 * time.Millisecond, Balancer: &kafka.RoundRobin{}, MaxAttempts: 100}
}

func messages(from, to int) []kafka.Message {
	var all []kafka.Message
	for i := from; i < to; i++ {
		all = append(all, kafka.Message{Value: fmt.Append(nil, i)})
	}
	return all
}

func read(t *T, topic string, partition, count int) []kafka.Message {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{scenario.Bootstrap}, Topic: topic, Partition: partition,
		MaxWait: 100 * time.Millisecond, MaxBytes: 50_000_000})
	defer r.Close()
	var all []kafka.Message
	for len(all) < count {
		m, err := r.ReadMessage(t.Ctx)
		t.OK(err)
		all = append(all, m)
	}
	return all
}

func topics(t *T) {
	topic := create(t, 3)
	created, err := client().CreateTopics(t.Ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}}})
	t.OK(err)
	t.Equal(errors.Is(created.Errors[topic], kafka.TopicAlreadyExists), true)
	grown, err := client().CreatePartitions(t.Ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{
		{Name: topic, Count: 5}}})
	t.OK(err)
	t.OK(grown.Errors[topic])
	t.Until("five partitions", func() bool { return partitionCount(t, topic) == 5 })
	deleted, err := client().DeleteTopics(t.Ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	t.OK(err)
	t.OK(deleted.Errors[topic])
	deleted, err = client().DeleteTopics(t.Ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	t.OK(err)
	t.Equal(errors.Is(deleted.Errors[topic], kafka.UnknownTopicOrPartition), true)
}

func codecs(t *T) {
	for _, codec := range []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		topic := create(t, 1)
		w := writer(topic)
		w.Compression = codec
		t.OK(w.WriteMessages(t.Ctx, messages(0, 1000)...))
		t.OK(w.Close())
		for i, m := range read(t, topic, 0, 1000) {
			t.Equal(string(m.Value), fmt.Sprint(i))
		}
	}
}

func headers(t *T) {
	topic := create(t, 1)
	w := writer(topic)
	sent := []kafka.Header{{Key: "h", Value: []byte("1")}, {Key: "h", Value: []byte("2")}, {Key: "h", Value: []byte("1")}}
	at := time.UnixMilli(1234567890123)
	t.OK(w.WriteMessages(t.Ctx, kafka.Message{Key: []byte("k"), Value: []byte("v"), Headers: sent, Time: at},
		kafka.Message{Key: []byte("tombstone")}))
	t.OK(w.Close())
	found := read(t, topic, 0, 2)
	t.Equal(found[0].Headers, sent)
	t.Equal(found[0].Time.UnixMilli(), at.UnixMilli())
	t.Equal(len(found[1].Value), 0)
}

func big(t *T) {
	topic, small := create(t, 1, "max.message.bytes", "12000000"), create(t, 1)
	value := make([]byte, 10_000_000)
	for i := range value {
		value[i] = byte(i * 31)
	}
	w := writer(topic)
	w.BatchBytes = 15_000_000
	t.OK(w.WriteMessages(t.Ctx, kafka.Message{Value: value}))
	t.Equal(read(t, topic, 0, 1)[0].Value, value)
	w = writer(small)
	w.BatchBytes = 15_000_000
	err := w.WriteMessages(t.Ctx, kafka.Message{Value: value})
	var failures kafka.WriteErrors
	if errors.As(err, &failures) {
		err = failures[0]
	}
	t.Equal(errors.Is(err, kafka.MessageSizeTooLarge), true)
}

func rebalance(t *T) {
	const total = 3000
	topic, group := create(t, 6), scenario.Unique("group")
	var lock sync.Mutex
	seen, readers := map[string]bool{}, map[string]bool{}
	start := func(name string) func() {
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{scenario.Bootstrap}, GroupID: group, Topic: topic,
			HeartbeatInterval: 200 * time.Millisecond, MaxWait: 100 * time.Millisecond, StartOffset: kafka.FirstOffset,
			CommitInterval: 100 * time.Millisecond, JoinGroupBackoff: 200 * time.Millisecond})
		ctx, cancel := context.WithCancel(t.Ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				m, err := r.ReadMessage(ctx)
				if err != nil {
					return
				}
				lock.Lock()
				seen[string(m.Value)], readers[name] = true, true
				lock.Unlock()
			}
		}()
		return func() { cancel(); <-done; r.Close() }
	}
	has := func(condition func() bool) func() bool {
		return func() bool { lock.Lock(); defer lock.Unlock(); return condition() }
	}
	w := writer(topic)
	stopA := start("a")
	t.OK(w.WriteMessages(t.Ctx, messages(0, 1000)...))
	t.Until("the first member to read", has(func() bool { return readers["a"] }))
	stopB := start("b")
	next := 1000
	t.Until("the second member to read", func() bool {
		t.OK(w.WriteMessages(t.Ctx, messages(next, next+50)...))
		next += 50
		return has(func() bool { return readers["b"] })()
	})
	described, err := client().DescribeGroups(t.Ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	t.OK(err)
	t.Equal(len(described.Groups[0].Members), 2)
	stopA()
	t.OK(w.WriteMessages(t.Ctx, messages(next, next+total)...))
	next += total
	t.Until("all records", has(func() bool { return len(seen) == next }))
	stopB()
	offsets, err := client().ConsumerOffsets(t.Ctx, kafka.TopicAndGroup{Topic: topic, GroupId: group})
	t.OK(err)
	sum := int64(0)
	for _, offset := range offsets {
		sum += offset
	}
	t.Equal(sum, int64(next))
}

func times(t *T) {
	topic := create(t, 1)
	w := writer(topic)
	all := messages(0, 100)
	for i := range all {
		all[i].Time = time.UnixMilli(int64(1_000_000 + i*10))
	}
	t.OK(w.WriteMessages(t.Ctx, all...))
	listed, err := client().ListOffsets(t.Ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0), kafka.TimeOffsetOf(0, time.UnixMilli(1_000_501))}}})
	t.OK(err)
	found := listed.Topics[topic][0]
	t.Equal([]int64{found.FirstOffset, found.LastOffset}, []int64{0, 100})
	_, exists := found.Offsets[51]
	t.Equal(exists, true)
}

func connection(t *T) {
	topic := create(t, 1)
	c, err := kafka.DialLeader(t.Ctx, "tcp", scenario.Bootstrap, topic, 0)
	t.OK(err)
	defer c.Close()
	_, err = c.WriteMessages(messages(0, 10)...)
	t.OK(err)
	first, last, err := c.ReadOffsets()
	t.OK(err)
	t.Equal([]int64{first, last}, []int64{0, 10})
	_, err = c.Seek(4, kafka.SeekAbsolute)
	t.OK(err)
	batch := c.ReadBatch(1, 1_000_000)
	for i := 4; i < 10; i++ {
		m, err := batch.ReadMessage()
		t.OK(err)
		t.Equal(string(m.Value), fmt.Sprint(i))
	}
	_, err = batch.ReadMessage()
	t.Equal(errors.Is(err, io.EOF), true)
	t.OK(batch.Close())
	controller, err := c.Controller()
	t.OK(err)
	t.Equal(net.JoinHostPort(controller.Host, fmt.Sprint(controller.Port)), scenario.Bootstrap)
}

func admin(t *T) {
	topic := create(t, 1, "retention.ms", "60000")
	value := func(key string) string {
		described, err := client().DescribeConfigs(t.Ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
			{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{key}}}})
		t.OK(err)
		return described.Resources[0].ConfigEntries[0].ConfigValue
	}
	t.Equal(value("retention.ms"), "60000")
	altered, err := client().IncrementalAlterConfigs(t.Ctx, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "retention.ms", Value: "70000"}}}}})
	t.OK(err)
	t.OK(altered.Resources[0].Error)
	t.Until("the change", func() bool { return value("retention.ms") == "70000" })
	group := scenario.Unique("group")
	committed, err := client().OffsetCommit(t.Ctx, &kafka.OffsetCommitRequest{GroupID: group, GenerationID: -1,
		Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: 0, Offset: 7, Metadata: "seven"}}}})
	t.OK(err)
	t.OK(committed.Topics[topic][0].Error)
	fetched, err := client().OffsetFetch(t.Ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0}}})
	t.OK(err)
	t.Equal([]any{fetched.Topics[topic][0].CommittedOffset, fetched.Topics[topic][0].Metadata}, []any{int64(7), "seven"})
	listed, err := client().ListGroups(t.Ctx, &kafka.ListGroupsRequest{})
	t.OK(err)
	found := false
	for _, g := range listed.Groups {
		found = found || g.GroupID == group
	}
	t.Equal(found, true)
	deleted, err := client().DeleteGroups(t.Ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	t.OK(err)
	t.OK(deleted.Errors[group])
}

func restart(t *T, how string) {
	topic := create(t, 1)
	w := writer(topic)
	t.OK(w.WriteMessages(t.Ctx, messages(0, 500)...))
	done := make(chan error, 1)
	go func() {
		for i := 500; i < 1500; i += 10 {
			if err := w.WriteMessages(t.Ctx, messages(i, i+10)...); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	time.Sleep(100 * time.Millisecond)
	t.Control(how)
	t.OK(<-done)
	// Not idempotent: what was retried may have come twice, but nothing is missing.
	seen := map[string]bool{}
	listed, err := client().ListOffsets(t.Ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.LastOffsetOf(0)}}})
	t.OK(err)
	for _, m := range read(t, topic, 0, int(listed.Topics[topic][0].LastOffset)) {
		seen[string(m.Value)] = true
	}
	t.Equal(len(seen), 1500)
}
