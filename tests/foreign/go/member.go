package main

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A member of a group: it polls by itself, and commits what it has read.
type member struct {
	client   *kgo.Client
	mutex    sync.Mutex
	assigned map[string]map[int32]bool
	records  []record
	events   []any
	failed   *string
	stop     context.CancelFunc
	done     chan struct{}
}

var members = map[string]*member{}

var balancers = map[string]kgo.GroupBalancer{
	"range":              kgo.RangeBalancer(),
	"roundrobin":         kgo.RoundRobinBalancer(),
	"sticky":             kgo.StickyBalancer(),
	"cooperative-sticky": kgo.CooperativeStickyBalancer(),
}

func join(a ask) error {
	m := &member{assigned: map[string]map[int32]bool{}, done: make(chan struct{}), records: []record{}, events: []any{}}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	session := 10 * time.Second
	if a.SessionMs > 0 {
		session = time.Duration(a.SessionMs) * time.Millisecond
	}
	options := []kgo.Opt{
		kgo.ConsumerGroup(a.Group),
		kgo.ClientID(a.Member),
		kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(session),
		kgo.HeartbeatInterval(200 * time.Millisecond),
		kgo.OnPartitionsAssigned(m.noted("assigned", true)),
		kgo.OnPartitionsRevoked(m.noted("revoked", false)),
		kgo.OnPartitionsLost(m.noted("lost", false)),
		kgo.BlockRebalanceOnPoll(),
	}
	if a.Assignor == "consumer" {
		ctx = context.WithValue(ctx, "opt_in_kafka_next_gen_balancer_beta", true)
		options = append(options, kgo.WithContext(ctx))
	} else {
		options = append(options, kgo.Balancers(balancers[a.Assignor]))
	}
	if a.Instance != "" {
		options = append(options, kgo.InstanceID(a.Instance))
	}
	if a.Pattern != "" {
		options = append(options, kgo.ConsumeRegex(), kgo.ConsumeTopics(a.Pattern))
	} else {
		options = append(options, kgo.ConsumeTopics(a.Topic))
	}
	client, err := connect(a, options...)
	if err != nil {
		stop()
		return err
	}
	m.client = client
	members[a.Member] = m
	go m.run(ctx)
	return nil
}

func (m *member) run(ctx context.Context) {
	defer close(m.done)
	for ctx.Err() == nil {
		fetches := m.client.PollFetches(ctx)
		m.mutex.Lock()
		fetches.EachRecord(func(r *kgo.Record) { m.records = append(m.records, shown(r)) })
		m.mutex.Unlock()
		if fetches.NumRecords() > 0 {
			if err := m.client.CommitUncommittedOffsets(context.Background()); err != nil {
				m.note("not committed", err.Error())
			}
		}
		m.client.AllowRebalance()
	}
	m.client.Close()
}

func (m *member) noted(what string, got bool) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
		m.mutex.Lock()
		defer m.mutex.Unlock()
		rows := []any{}
		for topic, numbers := range partitions {
			for _, number := range numbers {
				rows = append(rows, []any{topic, number})
				if m.assigned[topic] == nil {
					m.assigned[topic] = map[int32]bool{}
				}
				if got {
					m.assigned[topic][number] = true
				} else {
					delete(m.assigned[topic], number)
				}
			}
		}
		m.events = append(m.events, []any{what, rows})
	}
}

func (m *member) note(what string, why string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.events = append(m.events, []any{what, why})
}

func (m *member) seen() answer {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	assigned := []any{}
	for topic, numbers := range m.assigned {
		for number := range numbers {
			assigned = append(assigned, []any{topic, number})
		}
	}
	records, events := append([]record{}, m.records...), append([]any{}, m.events...)
	return answer{"assigned": assigned, "records": records, "events": events, "failed": m.failed}
}

func leave(name string) answer {
	m := members[name]
	delete(members, name)
	m.stop()
	<-m.done
	return m.seen()
}
