// Command sarama runs the scenarios through IBM's sarama.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"afluente/compat/scenario"

	"github.com/IBM/sarama"
)

type T = scenario.T

func main() {
	scenario.Run(
		scenario.Scenario{Name: "topics_are_created_described_grown_and_deleted", Run: topics},
		scenario.Scenario{Name: "every_codec_comes_back_as_it_went", Run: codecs},
		scenario.Scenario{Name: "every_version_of_kafka_it_can_play_works", Run: versions},
		scenario.Scenario{Name: "headers_keep_order_duplicates_and_nulls", Run: headers},
		scenario.Scenario{Name: "messages_of_ten_megabytes_pass_where_allowed", Run: big},
		scenario.Scenario{Name: "an_idempotent_producer_keeps_order", Run: idempotent},
		scenario.Scenario{Name: "transactions_commit_and_abort", Run: transactions},
		scenario.Scenario{Name: "a_group_rebalances_while_producing", Run: rebalance},
		scenario.Scenario{Name: "offsets_are_committed_listed_and_deleted", Run: offsets},
		scenario.Scenario{Name: "offsets_are_found_by_time", Run: times},
		scenario.Scenario{Name: "configs_are_described_and_altered", Run: configs},
		scenario.Scenario{Name: "records_are_deleted_up_to_an_offset", Run: deleteRecords},
		scenario.Scenario{Name: "a_restart_in_the_middle_loses_nothing", Run: func(t *T) { restart(t, "restart") }},
		scenario.Scenario{Name: "a_crash_in_the_middle_loses_nothing", Run: func(t *T) { restart(t, "crash") }},
	)
}

var brokers = []string{scenario.Bootstrap}

func config(change ...func(*sarama.Config)) *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Producer.Return.Successes = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.MaxWaitTime = 100 * time.Millisecond
	for _, f := range change {
		f(c)
	}
	return c
}

func admin(t *T) sarama.ClusterAdmin {
	a, err := sarama.NewClusterAdmin(brokers, config())
	t.OK(err)
	return a
}

func create(t *T, partitions int32, settings ...string) string {
	topic := scenario.Unique("sarama")
	entries := map[string]*string{}
	for i := 0; i < len(settings); i += 2 {
		entries[settings[i]] = &settings[i+1]
	}
	a := admin(t)
	defer a.Close()
	t.OK(a.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries}, false))
	t.Until("the topic", func() bool {
		described, err := a.DescribeTopics([]string{topic})
		return err == nil && described[0].Err == sarama.ErrNoError
	})
	return topic
}

func messages(topic string, count, partitions int) []*sarama.ProducerMessage {
	all := make([]*sarama.ProducerMessage, count)
	for i := range all {
		all[i] = &sarama.ProducerMessage{Topic: topic, Partition: int32(i % partitions), Value: sarama.StringEncoder(fmt.Sprint(i))}
	}
	return all
}

func produce(t *T, c *sarama.Config, all ...*sarama.ProducerMessage) {
	p, err := sarama.NewSyncProducer(brokers, c)
	t.OK(err)
	defer p.Close()
	t.OK(p.SendMessages(all))
}

func read(t *T, topic string, partition int32, count int, change ...func(*sarama.Config)) []*sarama.ConsumerMessage {
	c, err := sarama.NewConsumer(brokers, config(change...))
	t.OK(err)
	defer c.Close()
	p, err := c.ConsumePartition(topic, partition, sarama.OffsetOldest)
	t.OK(err)
	defer p.Close()
	var all []*sarama.ConsumerMessage
	for len(all) < count {
		select {
		case m := <-p.Messages():
			all = append(all, m)
		case <-t.Ctx.Done():
			t.Failf("only %d of %d messages came", len(all), count)
		}
	}
	// Nothing may come after what was expected.
	select {
	case m := <-p.Messages():
		t.Failf("unexpected message at %d", m.Offset)
	case <-time.After(300 * time.Millisecond):
	}
	return all
}

func topics(t *T) {
	a := admin(t)
	defer a.Close()
	topic := create(t, 3, "retention.ms", "60000")
	listed, err := a.ListTopics()
	t.OK(err)
	t.Equal(listed[topic].NumPartitions, int32(3))
	t.Equal(*listed[topic].ConfigEntries["retention.ms"], "60000")
	err = a.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false)
	t.Equal(errors.Is(err, sarama.ErrTopicAlreadyExists), true)
	err = a.CreateTopic(scenario.Unique("x"), &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 3}, false)
	t.Equal(errors.Is(err, sarama.ErrInvalidReplicationFactor), true)
	t.OK(a.CreatePartitions(topic, 5, nil, false))
	t.Until("five partitions", func() bool {
		described, err := a.DescribeTopics([]string{topic})
		t.OK(err)
		return len(described[0].Partitions) == 5
	})
	t.OK(a.DeleteTopic(topic))
	t.Until("the topic to be gone", func() bool {
		listed, err := a.ListTopics()
		t.OK(err)
		_, exists := listed[topic]
		return !exists
	})
	nodes, controller, err := a.DescribeCluster()
	t.OK(err)
	t.Equal([]any{len(nodes), nodes[0].ID()}, []any{1, controller})
	dirs, err := a.DescribeLogDirs([]int32{controller})
	t.OK(err)
	t.Equal(len(dirs[controller]), 1)
}

func codecs(t *T) {
	for _, codec := range []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP,
		sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD} {
		topic := create(t, 1)
		produce(t, config(func(c *sarama.Config) { c.Producer.Compression = codec }), messages(topic, 2000, 1)...)
		for i, m := range read(t, topic, 0, 2000) {
			t.Equal(string(m.Value), fmt.Sprint(i))
		}
	}
}

// versions produces and consumes as a client made for older brokers would. Before 1.0 sarama asks for what Kafka 4 no
// longer has.
func versions(t *T) {
	for _, version := range []sarama.KafkaVersion{sarama.V1_0_0_0, sarama.V2_0_0_0, sarama.V2_1_0_0, sarama.V2_8_0_0,
		sarama.V3_6_0_0, sarama.V4_0_0_0} {
		topic := create(t, 1)
		old := func(c *sarama.Config) { c.Version = version }
		produce(t, config(old), messages(topic, 100, 1)...)
		t.Equal(len(read(t, topic, 0, 100, old)), 100)
	}
}

func headers(t *T) {
	topic := create(t, 1)
	sent := []sarama.RecordHeader{{Key: []byte("h"), Value: []byte("1")}, {Key: []byte("h"), Value: []byte("2")},
		{Key: []byte("h"), Value: []byte("1")}, {Key: []byte("null")}}
	at := time.UnixMilli(1234567890123)
	produce(t, config(), &sarama.ProducerMessage{Topic: topic, Headers: sent, Timestamp: at, Value: sarama.StringEncoder("v")},
		&sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder("tombstone")})
	found := read(t, topic, 0, 2)
	t.Equal(len(found[0].Headers), 4)
	for i, header := range found[0].Headers {
		t.Equal(string(header.Key)+"="+string(header.Value), string(sent[i].Key)+"="+string(sent[i].Value))
	}
	t.Equal(found[0].Timestamp.UnixMilli(), at.UnixMilli())
	t.Equal(found[1].Value, []byte(nil))
}

func big(t *T) {
	topic, small := create(t, 1, "max.message.bytes", "12000000"), create(t, 1)
	value := make([]byte, 10_000_000)
	for i := range value {
		value[i] = byte(i * 31)
	}
	large := func(c *sarama.Config) { c.Producer.MaxMessageBytes = 15_000_000 }
	produce(t, config(large), &sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(value)})
	t.Equal(read(t, topic, 0, 1)[0].Value, value)
	p, err := sarama.NewSyncProducer(brokers, config(large))
	t.OK(err)
	defer p.Close()
	_, _, err = p.SendMessage(&sarama.ProducerMessage{Topic: small, Value: sarama.ByteEncoder(value)})
	t.Equal(errors.Is(err, sarama.ErrMessageSizeTooLarge), true)
}

func exactlyOnce(c *sarama.Config) {
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1
}

func idempotent(t *T) {
	topic := create(t, 2)
	produce(t, config(exactlyOnce), messages(topic, 10_000, 2)...)
	for partition := range 2 {
		for i, m := range read(t, topic, int32(partition), 5000) {
			t.Equal(string(m.Value), fmt.Sprint(i*2+partition))
		}
	}
}

func transactions(t *T) {
	topic, group := create(t, 1), scenario.Unique("group")
	p, err := sarama.NewSyncProducer(brokers, config(exactlyOnce, func(c *sarama.Config) {
		c.Producer.Transaction.ID = scenario.Unique("txn")
	}))
	t.OK(err)
	defer p.Close()
	for round := range 4 {
		t.OK(p.BeginTxn())
		t.OK(p.SendMessages(messages(topic, 20, 1)))
		t.OK(p.AddOffsetsToTxn(map[string][]*sarama.PartitionOffsetMetadata{
			topic: {{Partition: 0, Offset: int64(100 + round)}}}, group))
		if round%2 == 0 {
			t.OK(p.CommitTxn())
		} else {
			t.OK(p.AbortTxn())
		}
	}
	// 4 × 20 records; each transaction ends with a marker that no consumer sees.
	t.Equal(len(read(t, topic, 0, 80)), 80)
	read(t, topic, 0, 40, func(c *sarama.Config) { c.Consumer.IsolationLevel = sarama.ReadCommitted })
	a := admin(t)
	defer a.Close()
	fetched, err := a.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0}})
	t.OK(err)
	t.Equal(fetched.GetBlock(topic, 0).Offset, int64(102))
}

type member struct {
	lock  *sync.Mutex
	seen  map[string]bool
	parts atomic.Int64
}

func (m *member) Setup(s sarama.ConsumerGroupSession) error {
	sum := 0
	for _, parts := range s.Claims() {
		sum += len(parts)
	}
	m.parts.Store(int64(sum))
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error { m.parts.Store(0); return nil }

func (m *member) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		m.lock.Lock()
		m.seen[string(message.Value)] = true
		m.lock.Unlock()
		s.MarkMessage(message, "")
	}
	return nil
}

func rebalance(t *T) {
	const total, partitions = 4000, 6
	topic, group := create(t, partitions), scenario.Unique("group")
	var lock sync.Mutex
	seen := map[string]bool{}
	start := func() (*member, func()) {
		c := config(func(c *sarama.Config) {
			c.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
			c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategySticky()}
			c.Consumer.Offsets.AutoCommit.Interval = 100 * time.Millisecond
		})
		g, err := sarama.NewConsumerGroup(brokers, group, c)
		t.OK(err)
		m := &member{lock: &lock, seen: seen}
		ctx, cancel := context.WithCancel(t.Ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				if err := g.Consume(ctx, []string{topic}, m); err != nil {
					time.Sleep(100 * time.Millisecond)
				}
			}
		}()
		return m, func() { cancel(); <-done; g.Close() }
	}
	spread := func(members ...*member) func() bool {
		return func() bool {
			sum := int64(0)
			for _, m := range members {
				if m.parts.Load() == 0 {
					return false
				}
				sum += m.parts.Load()
			}
			return sum == partitions
		}
	}
	all := messages(topic, total, partitions)
	a, stopA := start()
	produce(t, config(), all[:1000]...)
	b, stopB := start()
	produce(t, config(), all[1000:2000]...)
	t.Until("two members", spread(a, b))
	c, stopC := start()
	produce(t, config(), all[2000:3000]...)
	t.Until("three members", spread(a, b, c))
	groups := admin(t)
	defer groups.Close()
	described, err := groups.DescribeConsumerGroups([]string{group})
	t.OK(err)
	t.Equal(len(described[0].Members), 3)
	stopA()
	t.Until("two members again", spread(b, c))
	produce(t, config(), all[3000:]...)
	t.Until("all records", func() bool {
		lock.Lock()
		defer lock.Unlock()
		return len(seen) == total
	})
	stopB()
	stopC()
	fetched, err := groups.ListConsumerGroupOffsets(group, nil)
	t.OK(err)
	sum := int64(0)
	for _, block := range fetched.Blocks[topic] {
		sum += block.Offset
	}
	t.Equal(sum, int64(total))
	listed, err := groups.ListConsumerGroups()
	t.OK(err)
	t.Equal(listed[group], "consumer")
	t.OK(groups.DeleteConsumerGroup(group))
}

func offsets(t *T) {
	topic, group := create(t, 2), scenario.Unique("group")
	client, err := sarama.NewClient(brokers, config())
	t.OK(err)
	defer client.Close()
	m, err := sarama.NewOffsetManagerFromClient(group, client)
	t.OK(err)
	p, err := m.ManagePartition(topic, 0)
	t.OK(err)
	p.MarkOffset(7, "seven")
	m.Commit()
	t.OK(p.Close())
	t.OK(m.Close())
	a := admin(t)
	defer a.Close()
	fetched, err := a.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1}})
	t.OK(err)
	t.Equal([]any{fetched.GetBlock(topic, 0).Offset, fetched.GetBlock(topic, 0).Metadata}, []any{int64(7), "seven"})
	t.Equal(fetched.GetBlock(topic, 1).Offset, int64(-1))
	t.OK(a.DeleteConsumerGroupOffset(group, topic, 0))
	t.OK(a.DeleteConsumerGroup(group))
}

func times(t *T) {
	topic := create(t, 1)
	all := messages(topic, 100, 1)
	for i, m := range all {
		m.Timestamp = time.UnixMilli(int64(1_000_000 + i*10))
	}
	produce(t, config(), all...)
	client, err := sarama.NewClient(brokers, config())
	t.OK(err)
	defer client.Close()
	for at, offset := range map[int64]int64{sarama.OffsetOldest: 0, sarama.OffsetNewest: 100, 1_000_001: 1, 1_000_990: 99} {
		found, err := client.GetOffset(topic, 0, at)
		t.OK(err)
		t.Equal(found, offset)
	}
}

func configs(t *T) {
	topic := create(t, 1, "retention.ms", "60000")
	a := admin(t)
	defer a.Close()
	value := func(key string) string {
		entries, err := a.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
		t.OK(err)
		for _, entry := range entries {
			if entry.Name == key {
				return entry.Value
			}
		}
		return ""
	}
	t.Equal(value("retention.ms"), "60000")
	two := "2000"
	t.OK(a.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		"max.message.bytes": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &two}}, false))
	t.Until("the change", func() bool { return value("max.message.bytes") == "2000" })
	// The old AlterConfigs replaces all of them.
	t.OK(a.AlterConfig(sarama.TopicResource, topic, map[string]*string{"segment.ms": &two}, false))
	t.Until("the replacement", func() bool {
		return value("segment.ms") == "2000" && value("retention.ms") == "604800000"
	})
}

func deleteRecords(t *T) {
	topic := create(t, 1)
	produce(t, config(), messages(topic, 100, 1)...)
	a := admin(t)
	defer a.Close()
	t.OK(a.DeleteRecords(topic, map[int32]int64{0: 40}))
	t.Equal(read(t, topic, 0, 60)[0].Offset, int64(40))
}

func restart(t *T, how string) {
	const total = 3000
	topic := create(t, 1)
	p, err := sarama.NewAsyncProducer(brokers, config(exactlyOnce, func(c *sarama.Config) {
		c.Producer.Retry.Max = 300
		c.Producer.Retry.Backoff = 200 * time.Millisecond
		c.Metadata.Retry.Max = 300
	}))
	t.OK(err)
	go func() {
		for _, m := range messages(topic, total, 1) {
			p.Input() <- m
			time.Sleep(300 * time.Microsecond)
		}
	}()
	restarted := make(chan any, 1)
	go func() {
		time.Sleep(300 * time.Millisecond)
		defer func() { restarted <- recover() }()
		t.Control(how)
	}()
	for range total {
		select {
		case <-p.Successes():
		case err := <-p.Errors():
			t.Failf("%v", err)
		case <-t.Ctx.Done():
			t.Failf("no end")
		}
	}
	if problem := <-restarted; problem != nil {
		panic(problem)
	}
	t.OK(p.Close())
	for i, m := range read(t, topic, 0, total) {
		t.Equal(string(m.Value), fmt.Sprint(i))
	}
}
