package main

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Writes numbers one after the other, with idempotence, until it is told to stop.
type writer struct {
	client  *kgo.Client
	mutex   sync.Mutex
	acked   []any
	refused []any
	stop    context.CancelFunc
	done    chan struct{}
}

var writers = map[string]*writer{}

func write(a ask) error {
	client, err := connect(a,
		kgo.DefaultProduceTopic(a.Topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RecordDeliveryTimeout(180*time.Second),
		kgo.ProducerLinger(5*time.Millisecond),
	)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &writer{client: client, acked: []any{}, refused: []any{}, stop: stop, done: make(chan struct{})}
	writers[a.Member] = w
	go w.run(ctx, a.Partitions)
	return nil
}

func (w *writer) run(ctx context.Context, partitions int32) {
	defer close(w.done)
	for number := 0; ctx.Err() == nil; number++ {
		row := &kgo.Record{Partition: int32(number) % partitions, Value: []byte(strconv.Itoa(number))}
		w.client.Produce(context.Background(), row, func(r *kgo.Record, err error) {
			w.mutex.Lock()
			defer w.mutex.Unlock()
			if err != nil {
				w.refused = append(w.refused, []any{number, err.Error()})
			} else {
				w.acked = append(w.acked, []any{number, r.Partition, r.Offset})
			}
		})
		time.Sleep(4 * time.Millisecond)
	}
}

func (w *writer) progress() answer {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return answer{"acked": len(w.acked), "refused": append([]any{}, w.refused...)}
}

func (w *writer) finish() (answer, error) {
	w.stop()
	<-w.done
	err := w.client.Flush(context.Background())
	w.client.Close()
	return answer{"acked": w.acked, "refused": w.refused}, err
}
