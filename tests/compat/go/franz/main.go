// Command franz runs the scenarios through franz-go, the Go client that follows the protocol most closely.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"afluente/compat/scenario"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type T = scenario.T

func main() {
	scenario.Run(
		scenario.Scenario{Name: "topics_are_created_described_grown_and_deleted", Run: topics},
		scenario.Scenario{Name: "every_codec_comes_back_as_it_went", Run: codecs},
		scenario.Scenario{Name: "headers_keep_order_duplicates_and_nulls", Run: headers},
		scenario.Scenario{Name: "messages_of_ten_megabytes_pass_where_allowed", Run: big},
		scenario.Scenario{Name: "many_records_keep_order", Run: order},
		scenario.Scenario{Name: "transactions_commit_and_abort", Run: transactions},
		scenario.Scenario{Name: "a_second_producer_fences_the_first", Run: fencing},
		scenario.Scenario{Name: "a_group_transacts_exactly_once", Run: exactlyOnce},
		scenario.Scenario{Name: "a_classic_group_rebalances_while_producing", Run: classicGroup},
		scenario.Scenario{Name: "a_consumer_group_of_kip_848_rebalances_while_producing", Run: consumerGroup},
		scenario.Scenario{Name: "a_static_member_keeps_its_partitions", Run: static},
		scenario.Scenario{Name: "offsets_are_committed_listed_and_deleted", Run: offsets},
		scenario.Scenario{Name: "offsets_are_found_by_time", Run: times},
		scenario.Scenario{Name: "configs_are_described_and_altered", Run: configs},
		scenario.Scenario{Name: "records_are_deleted_up_to_an_offset", Run: deleteRecords},
		scenario.Scenario{Name: "producers_transactions_and_log_dirs_are_described", Run: describe},
		scenario.Scenario{Name: "a_restart_in_the_middle_loses_nothing", Run: func(t *T) { restart(t, "restart") }},
		scenario.Scenario{Name: "a_crash_in_the_middle_loses_nothing", Run: func(t *T) { restart(t, "crash") }},
	)
}

func client(t *T, options ...kgo.Opt) *kgo.Client {
	all := append([]kgo.Opt{kgo.SeedBrokers(scenario.Bootstrap), kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner())}, options...)
	c, err := kgo.NewClient(all...)
	t.OK(err)
	return c
}

func admin(t *T) *kadm.Client { return kadm.NewClient(client(t)) }

func create(t *T, partitions int32, config ...string) string {
	topic := scenario.Unique("franz")
	configs := map[string]*string{}
	for i := 0; i < len(config); i += 2 {
		configs[config[i]] = &config[i+1]
	}
	a := admin(t)
	defer a.Close()
	_, err := a.CreateTopic(t.Ctx, partitions, 1, configs, topic)
	t.OK(err)
	return topic
}

func produce(t *T, topic string, count int, partitions int32, options ...kgo.Opt) {
	c := client(t, options...)
	defer c.Close()
	records := make([]*kgo.Record, count)
	for i := range records {
		records[i] = &kgo.Record{Topic: topic, Partition: int32(i) % partitions, Value: fmt.Appendf(nil, "%d", i)}
	}
	t.OK(c.ProduceSync(t.Ctx, records...).FirstErr())
}

// read gives all records of a topic up to its end, whatever that is for the isolation level.
func read(t *T, topic string, options ...kgo.Opt) []*kgo.Record {
	a := admin(t)
	defer a.Close()
	ends, err := a.ListEndOffsets(t.Ctx, topic)
	t.OK(err)
	starts, err := a.ListStartOffsets(t.Ctx, topic)
	t.OK(err)
	wanted := 0
	ends.Each(func(o kadm.ListedOffset) {
		start, _ := starts.Lookup(o.Topic, o.Partition)
		if o.Offset > start.Offset {
			wanted++
		}
	})
	c := client(t, append([]kgo.Opt{kgo.ConsumeTopics(topic), kgo.KeepControlRecords()}, options...)...)
	defer c.Close()
	var records []*kgo.Record
	done := map[int32]bool{}
	for len(done) < wanted {
		fetches := c.PollFetches(t.Ctx)
		t.OK(fetches.Err0())
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
			if end, _ := ends.Lookup(r.Topic, r.Partition); r.Offset+1 >= end.Offset {
				done[r.Partition] = true
			}
		})
	}
	return records
}

func topics(t *T) {
	a := admin(t)
	defer a.Close()
	topic := create(t, 3, "retention.ms", "60000")
	listed, err := a.ListTopics(t.Ctx, topic)
	t.OK(err)
	t.Equal(len(listed[topic].Partitions), 3)
	t.Equal(listed[topic].ID == kadm.TopicID{}, false)
	_, err = a.CreateTopic(t.Ctx, 1, 1, nil, topic)
	t.Equal(errors.Is(err, kerr.TopicAlreadyExists), true)
	_, err = a.CreateTopic(t.Ctx, 1, 1, nil, "no/slash")
	t.Equal(errors.Is(err, kerr.InvalidTopicException), true)
	_, err = a.CreateTopic(t.Ctx, 1, 9, nil, scenario.Unique("x"))
	t.Equal(errors.Is(err, kerr.InvalidReplicationFactor), true)
	byDefault, err := a.CreateTopic(t.Ctx, -1, -1, nil, scenario.Unique("default"))
	t.OK(err)
	t.Equal(byDefault.ReplicationFactor, int16(1))
	_, err = a.CreatePartitions(t.Ctx, 2, topic)
	t.OK(err)
	t.Until("five partitions", func() bool {
		listed, err := a.ListTopics(t.Ctx, topic)
		t.OK(err)
		return len(listed[topic].Partitions) == 5
	})
	_, err = a.DeleteTopic(t.Ctx, topic)
	t.OK(err)
	t.Until("the topic to be gone", func() bool {
		listed, err := a.ListTopics(t.Ctx, topic)
		t.OK(err)
		return errors.Is(listed[topic].Err, kerr.UnknownTopicOrPartition)
	})
}

func codecs(t *T) {
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(),
		kgo.Lz4Compression(), kgo.ZstdCompression()} {
		topic := create(t, 1)
		produce(t, topic, 3000, 1, kgo.ProducerBatchCompression(codec))
		for i, record := range read(t, topic) {
			t.Equal(string(record.Value), fmt.Sprint(i))
		}
	}
}

func headers(t *T) {
	topic := create(t, 1)
	c := client(t)
	defer c.Close()
	sent := []kgo.RecordHeader{{Key: "h", Value: []byte("1")}, {Key: "h", Value: []byte("2")},
		{Key: "h", Value: []byte("1")}, {Key: "null"}, {Key: "empty", Value: []byte{}}}
	at := time.UnixMilli(1234567890123)
	t.OK(c.ProduceSync(t.Ctx, &kgo.Record{Topic: topic, Headers: sent, Timestamp: at},
		&kgo.Record{Topic: topic, Key: []byte{}, Value: []byte{}}).FirstErr())
	found := read(t, topic)
	t.Equal(found[0].Headers, sent)
	t.Equal([][]byte{found[0].Key, found[0].Value}, [][]byte{nil, nil})
	t.Equal([][]byte{found[1].Key, found[1].Value}, [][]byte{{}, {}})
	t.Equal(found[0].Timestamp.UnixMilli(), at.UnixMilli())
}

func big(t *T) {
	topic, small := create(t, 1, "max.message.bytes", "12000000"), create(t, 1)
	c := client(t, kgo.ProducerBatchMaxBytes(15_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.FetchMaxPartitionBytes(15_000_000))
	defer c.Close()
	value := make([]byte, 10_000_000)
	for i := range value {
		value[i] = byte(i * 31)
	}
	t.OK(c.ProduceSync(t.Ctx, &kgo.Record{Topic: topic, Value: value}).FirstErr())
	t.Equal(read(t, topic)[0].Value, value)
	err := c.ProduceSync(t.Ctx, &kgo.Record{Topic: small, Value: value}).FirstErr()
	t.Equal(errors.Is(err, kerr.MessageTooLarge), true)
}

func order(t *T) {
	topic := create(t, 4)
	produce(t, topic, 40_000, 4)
	next := map[int32]int{0: 0, 1: 1, 2: 2, 3: 3}
	for _, record := range read(t, topic) {
		t.Equal(string(record.Value), fmt.Sprint(next[record.Partition]))
		next[record.Partition] += 4
	}
	t.Equal(next, map[int32]int{0: 40_000, 1: 40_001, 2: 40_002, 3: 40_003})
}

func transactions(t *T) {
	topic := create(t, 2)
	c := client(t, kgo.TransactionalID(scenario.Unique("txn")))
	defer c.Close()
	for round := range 6 {
		t.OK(c.BeginTransaction())
		for i := range 20 {
			value := fmt.Appendf(nil, "%d-%d", round, i)
			t.OK(c.ProduceSync(t.Ctx, &kgo.Record{Topic: topic, Partition: int32(i % 2), Value: value}).FirstErr())
		}
		t.OK(c.EndTransaction(t.Ctx, kgo.TransactionEndTry(round%2 == 0)))
	}
	t.Equal(len(read(t, topic)), 120)
	rounds := map[byte]int{}
	for _, record := range read(t, topic, kgo.FetchIsolationLevel(kgo.ReadCommitted())) {
		rounds[record.Value[0]]++
	}
	t.Equal(rounds, map[byte]int{'0': 20, '2': 20, '4': 20})
}

func fencing(t *T) {
	topic, id := create(t, 1), scenario.Unique("txn")
	first := client(t, kgo.TransactionalID(id))
	defer first.Close()
	t.OK(first.BeginTransaction())
	t.OK(first.ProduceSync(t.Ctx, &kgo.Record{Topic: topic, Value: []byte("first")}).FirstErr())
	second := client(t, kgo.TransactionalID(id))
	defer second.Close()
	t.OK(second.BeginTransaction())
	t.OK(second.ProduceSync(t.Ctx, &kgo.Record{Topic: topic, Value: []byte("second")}).FirstErr())
	err := first.EndTransaction(t.Ctx, kgo.TryCommit)
	if !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Failf("expected to be fenced, got %v", err)
	}
	t.OK(second.EndTransaction(t.Ctx, kgo.TryCommit))
	found := read(t, topic, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	t.Equal(len(found), 1)
	t.Equal(string(found[0].Value), "second")
}

// exactlyOnce moves records from one topic to another in transactions, through a group that rebalances meanwhile.
func exactlyOnce(t *T) {
	const total = 2000
	source, target, group := create(t, 4), create(t, 1), scenario.Unique("eos")
	produce(t, source, total, 4)
	ctx, cancel := context.WithCancel(t.Ctx)
	defer cancel()
	var moved atomic.Int64
	var wait sync.WaitGroup
	var failure atomic.Value
	for range 2 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(scenario.Bootstrap), kgo.ConsumeTopics(source),
				kgo.ConsumerGroup(group), kgo.TransactionalID(scenario.Unique("txn")), kgo.FetchMaxBytes(4096),
				kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
				kgo.FetchMaxPartitionBytes(1024), kgo.HeartbeatInterval(300*time.Millisecond))
			if err != nil {
				failure.Store(err)
				return
			}
			defer session.Close()
			for ctx.Err() == nil {
				fetches := session.PollRecords(ctx, 100)
				if fetches.NumRecords() == 0 {
					continue
				}
				if err := session.Begin(); err != nil {
					failure.Store(err)
					return
				}
				fetches.EachRecord(func(r *kgo.Record) {
					session.Produce(ctx, &kgo.Record{Topic: target, Value: r.Value}, nil)
				})
				committed, err := session.End(ctx, kgo.TryCommit)
				if err == nil && committed {
					moved.Add(int64(fetches.NumRecords()))
				}
			}
		}()
		time.Sleep(300 * time.Millisecond)
	}
	t.Until("all records to be moved", func() bool { return moved.Load() >= total || failure.Load() != nil })
	cancel()
	wait.Wait()
	t.Equal(failure.Load(), nil)
	seen := map[string]int{}
	for _, record := range read(t, target, kgo.FetchIsolationLevel(kgo.ReadCommitted())) {
		seen[string(record.Value)]++
	}
	t.Equal(len(seen), total)
	for value, count := range seen {
		if count != 1 {
			t.Failf("%s came %d times", value, count)
		}
	}
}

func classicGroup(t *T) { rebalance(t, nil) }

func consumerGroup(t *T) {
	// franz-go speaks KIP-848 on request only, given by this key of its context.
	rebalance(t, context.WithValue(context.Background(), "opt_in_kafka_next_gen_balancer_beta", true))
}

type member struct {
	client *kgo.Client
	cancel context.CancelFunc
	done   chan struct{}
	parts  atomic.Int64
}

func rebalance(t *T, optIn context.Context) {
	const total, partitions = 6000, 6
	topic, group := create(t, partitions), scenario.Unique("group")
	var lock sync.Mutex
	seen := map[string]bool{}
	start := func() *member {
		m := &member{done: make(chan struct{})}
		count := func(sign int64) func(context.Context, *kgo.Client, map[string][]int32) {
			return func(_ context.Context, _ *kgo.Client, moved map[string][]int32) {
				m.parts.Add(sign * int64(len(moved[topic])))
			}
		}
		options := []kgo.Opt{kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.AutoCommitInterval(100 * time.Millisecond),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.OnPartitionsAssigned(count(1)),
			kgo.OnPartitionsRevoked(count(-1)), kgo.OnPartitionsLost(count(-1))}
		if optIn != nil {
			options = append(options, kgo.WithContext(optIn))
		} else {
			options = append(options, kgo.HeartbeatInterval(200*time.Millisecond), kgo.SessionTimeout(6*time.Second))
		}
		m.client = client(t, options...)
		ctx, cancel := context.WithCancel(t.Ctx)
		m.cancel = cancel
		go func() {
			defer close(m.done)
			for ctx.Err() == nil {
				m.client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
					lock.Lock()
					seen[string(r.Value)] = true
					lock.Unlock()
				})
			}
		}()
		return m
	}
	stop := func(m *member) {
		m.cancel()
		<-m.done
		// The client commits by itself what was polled before the last poll.
		t.OK(m.client.CommitUncommittedOffsets(t.Ctx))
		m.client.Close()
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
	producer := client(t)
	defer producer.Close()
	send := func(from, to int) {
		for i := from; i < to; i++ {
			producer.Produce(t.Ctx, &kgo.Record{Topic: topic, Partition: int32(i % partitions), Value: fmt.Appendf(nil, "%d", i)}, nil)
		}
		t.OK(producer.Flush(t.Ctx))
	}

	a := start()
	send(0, 1500)
	b := start()
	send(1500, 3000)
	c := start()
	t.Until("three members", spread(a, b, c))
	send(3000, 4500)
	groups := admin(t)
	defer groups.Close()
	described, err := groups.DescribeGroups(t.Ctx, group)
	t.OK(err)
	if optIn == nil {
		t.Equal(len(described[group].Members), 3)
		t.Equal(described[group].State, "Stable")
	}
	stop(a)
	t.Until("two members", spread(b, c))
	send(4500, total)
	t.Until("all records", func() bool {
		lock.Lock()
		defer lock.Unlock()
		return len(seen) == total
	})
	stop(b)
	stop(c)
	lag, err := groups.FetchOffsets(t.Ctx, group)
	t.OK(err)
	sum := int64(0)
	lag.Each(func(o kadm.OffsetResponse) { sum += o.At })
	t.Equal(sum, int64(total))
}

func static(t *T) {
	topic, group := create(t, 4), scenario.Unique("static")
	join := func(name string) *member {
		m := &member{done: make(chan struct{})}
		m.client = client(t, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.InstanceID(name),
			kgo.HeartbeatInterval(200*time.Millisecond), kgo.Balancers(kgo.RangeBalancer()),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
				m.parts.Store(int64(len(parts[topic])))
			}))
		ctx, cancel := context.WithCancel(t.Ctx)
		m.cancel = cancel
		go func() {
			defer close(m.done)
			for ctx.Err() == nil {
				m.client.PollFetches(ctx)
			}
		}()
		return m
	}
	generation := func() (string, int) {
		a := admin(t)
		defer a.Close()
		described, err := a.DescribeGroups(t.Ctx, group)
		t.OK(err)
		return described[group].State, len(described[group].Members)
	}
	one, two := join("one"), join("two")
	t.Until("two members", func() bool { return one.parts.Load() == 2 && two.parts.Load() == 2 })
	// Closing a static member does not make it leave.
	two.cancel()
	<-two.done
	two.client.Close()
	state, members := generation()
	t.Equal(members, 2)
	t.Equal(state, "Stable")
	two = join("two")
	t.Until("its place", func() bool { return two.parts.Load() == 2 })
	a := admin(t)
	defer a.Close()
	left, err := a.LeaveGroup(t.Ctx, kadm.LeaveGroup(group).InstanceIDs("one", "two"))
	t.OK(err)
	t.OK(left.Error())
	for _, m := range []*member{one, two} {
		m.cancel()
		<-m.done
		m.client.Close()
	}
}

func offsets(t *T) {
	topic, group := create(t, 2), scenario.Unique("group")
	a := admin(t)
	defer a.Close()
	var commit kadm.Offsets
	commit.Add(kadm.Offset{Topic: topic, Partition: 0, At: 7, LeaderEpoch: 0, Metadata: "seven"})
	commit.Add(kadm.Offset{Topic: topic, Partition: 1, At: 8, LeaderEpoch: -1})
	t.OK(a.CommitAllOffsets(t.Ctx, group, commit))
	fetched, err := a.FetchOffsets(t.Ctx, group)
	t.OK(err)
	one, _ := fetched.Lookup(topic, 0)
	t.Equal([]any{one.At, one.Metadata, one.LeaderEpoch}, []any{int64(7), "seven", int32(0)})
	var topics kadm.TopicsSet
	topics.Add(topic, 1)
	_, err = a.DeleteOffsets(t.Ctx, group, topics)
	t.OK(err)
	fetched, err = a.FetchOffsets(t.Ctx, group)
	t.OK(err)
	_, exists := fetched.Lookup(topic, 1)
	t.Equal(exists, false)
	listed, err := a.ListGroups(t.Ctx)
	t.OK(err)
	t.Equal(listed[group].State, "Empty")
	deleted, err := a.DeleteGroups(t.Ctx, group, scenario.Unique("nobody"))
	t.OK(err)
	t.OK(deleted[group].Err)
	for name, result := range deleted {
		if name != group {
			t.Equal(errors.Is(result.Err, kerr.GroupIDNotFound), true)
		}
	}
}

func times(t *T) {
	topic := create(t, 1)
	c := client(t)
	defer c.Close()
	for i := range 100 {
		r := &kgo.Record{Topic: topic, Timestamp: time.UnixMilli(int64(1_000_000 + i*10)), Value: []byte("v")}
		t.OK(c.ProduceSync(t.Ctx, r).FirstErr())
	}
	a := admin(t)
	defer a.Close()
	for at, offset := range map[int64]int64{0: 0, 1_000_001: 1, 1_000_500: 50, 1_000_990: 99, 2_000_000: 100} {
		listed, err := a.ListOffsetsAfterMilli(t.Ctx, at, topic)
		t.OK(err)
		found, _ := listed.Lookup(topic, 0)
		t.Equal(found.Offset, offset)
	}
	highest, err := a.ListMaxTimestampOffsets(t.Ctx, topic)
	t.OK(err)
	found, _ := highest.Lookup(topic, 0)
	t.Equal([]int64{found.Offset, found.Timestamp}, []int64{99, 1_000_990})
	from := kgo.NewOffset().AfterMilli(1_000_900)
	part := client(t, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: from}}))
	defer part.Close()
	t.Equal(part.PollFetches(t.Ctx).Records()[0].Offset, int64(90))
}

func configs(t *T) {
	topic := create(t, 1, "retention.ms", "60000")
	a := admin(t)
	defer a.Close()
	value := func(key string) (string, string) {
		described, err := a.DescribeTopicConfigs(t.Ctx, topic)
		t.OK(err)
		for _, config := range described[0].Configs {
			if config.Key == key {
				return config.MaybeValue(), config.Source.String()
			}
		}
		return "", "absent"
	}
	v, source := value("retention.ms")
	t.Equal([]string{v, source}, []string{"60000", "DYNAMIC_TOPIC_CONFIG"})
	two := "2000"
	altered, err := a.AlterTopicConfigs(t.Ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &two},
		{Op: kadm.DeleteConfig, Name: "retention.ms"}}, topic)
	t.OK(err)
	t.OK(altered[0].Err)
	t.Until("the change", func() bool { v, _ := value("max.message.bytes"); return v == "2000" })
	_, source = value("retention.ms")
	t.Equal(source, "DEFAULT_CONFIG")
	bad := "wrong"
	altered, err = a.AlterTopicConfigs(t.Ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &bad}}, topic)
	t.OK(err)
	t.Equal(errors.Is(altered[0].Err, kerr.InvalidConfig), true)
}

func deleteRecords(t *T) {
	topic := create(t, 1)
	produce(t, topic, 100, 1)
	a := admin(t)
	defer a.Close()
	var upTo kadm.Offsets
	upTo.Add(kadm.Offset{Topic: topic, Partition: 0, At: 40})
	deleted, err := a.DeleteRecords(t.Ctx, upTo)
	t.OK(err)
	result, _ := deleted.Lookup(topic, 0)
	t.OK(result.Err)
	t.Equal(result.LowWatermark, int64(40))
	t.Equal(read(t, topic)[0].Offset, int64(40))
}

func describe(t *T) {
	topic, id := create(t, 1), scenario.Unique("txn")
	c := client(t, kgo.TransactionalID(id))
	defer c.Close()
	t.OK(c.BeginTransaction())
	t.OK(c.ProduceSync(t.Ctx, &kgo.Record{Topic: topic, Value: []byte("open")}).FirstErr())
	a := admin(t)
	defer a.Close()
	listed, err := a.ListTransactions(t.Ctx, nil, nil)
	t.OK(err)
	t.Equal(listed[id].State, "Ongoing")
	described, err := a.DescribeTransactions(t.Ctx, id)
	t.OK(err)
	t.Equal(described[id].Topics.Lookup(topic, 0), true)
	var topics kadm.TopicsSet
	topics.Add(topic, 0)
	producers, err := a.DescribeProducers(t.Ctx, topics)
	t.OK(err)
	t.Equal(len(producers.SortedProducers()), 1)
	t.Equal(producers.SortedProducers()[0].CurrentTxnStartOffset, int64(0))
	t.OK(c.EndTransaction(t.Ctx, kgo.TryAbort))
	dirs, err := a.DescribeAllLogDirs(t.Ctx, topics)
	t.OK(err)
	size := int64(0)
	dirs.Each(func(d kadm.DescribedLogDir) { d.Topics.Each(func(p kadm.DescribedLogDirPartition) { size += p.Size }) })
	t.Equal(size > 60, true)
	cluster, err := a.BrokerMetadata(t.Ctx)
	t.OK(err)
	t.Equal(len(cluster.Brokers), 1)
}

func restart(t *T, how string) {
	const total = 10_000
	topic := create(t, 3)
	c := client(t)
	defer c.Close()
	var failed atomic.Value
	go func() {
		for i := range total {
			c.Produce(t.Ctx, &kgo.Record{Topic: topic, Partition: int32(i % 3), Value: fmt.Appendf(nil, "%d", i)},
				func(_ *kgo.Record, err error) {
					if err != nil {
						failed.Store(err)
					}
				})
			time.Sleep(200 * time.Microsecond)
		}
	}()
	time.Sleep(500 * time.Millisecond)
	t.Control(how)
	t.Until("all records to be sent", func() bool { return c.BufferedProduceRecords() == 0 })
	time.Sleep(100 * time.Millisecond)
	t.Until("all records", func() bool {
		t.OK(c.Flush(t.Ctx))
		return len(read(t, topic)) == total
	})
	t.Equal(failed.Load(), nil)
	next := map[int32]int{0: 0, 1: 1, 2: 2}
	for _, record := range read(t, topic) {
		t.Equal(string(record.Value), fmt.Sprint(next[record.Partition]))
		next[record.Partition] += 3
	}
}
