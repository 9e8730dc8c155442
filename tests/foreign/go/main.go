// Does what each line of its input says, and answers with a line of JSON: see tests/foreign.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const deadline = 60 * time.Second

type answer = map[string]any

// A line of input; each call takes what it needs of it.
type ask struct {
	Do         string            `json:"do"`
	Bootstrap  string            `json:"bootstrap"`
	Topic      string            `json:"topic"`
	Pattern    string            `json:"pattern"`
	Partition  int32             `json:"partition"`
	Partitions int32             `json:"partitions"`
	Offset     any               `json:"offset"`
	Before     int64             `json:"before"`
	Count      int               `json:"count"`
	Time       *int64            `json:"time"`
	Codec      string            `json:"codec"`
	Acks       any               `json:"acks"`
	Idempotent bool              `json:"idempotent"`
	Records    []record          `json:"records"`
	Configs    map[string]string `json:"configs"`
	Name       string            `json:"name"`
	Value      string            `json:"value"`
	Member     string            `json:"member"`
	Group      string            `json:"group"`
	Assignor   string            `json:"assignor"`
	Instance   string            `json:"instance"`
	SessionMs  int               `json:"session_ms"`
	Groups     []string          `json:"groups"`
	States     []string          `json:"states"`
	Types      []string          `json:"types"`
	Spec       string            `json:"spec"`
	Internal   bool              `json:"internal"`
}

type record struct {
	Partition *int32       `json:"partition,omitempty"`
	Offset    int64        `json:"offset"`
	Timestamp *int64       `json:"timestamp,omitempty"`
	Key       *string      `json:"key"`
	Value     *string      `json:"value"`
	Headers   [][2]*string `json:"headers"`
}

func main() {
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var a ask
		told := answer{}
		if err = json.Unmarshal(line, &a); err == nil {
			told, err = serve(a)
		}
		if err != nil {
			told = failure(err)
		}
		if err := out.Encode(told); err != nil {
			panic(err)
		}
	}
}

func serve(a ask) (answer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	switch a.Do {
	case "produce":
		return produce(ctx, a)
	case "consume":
		return consume(ctx, a)
	case "offsets":
		return offsets(ctx, a)
	case "join":
		return answer{}, join(a)
	case "member":
		return members[a.Member].seen(), nil
	case "leave":
		return leave(a.Member), nil
	case "write":
		return answer{}, write(a)
	case "writer":
		return writers[a.Member].progress(), nil
	case "written":
		return writers[a.Member].finish()
	}
	return administer(ctx, a)
}

func failure(err error) answer {
	var known *kerr.Error
	if errors.As(err, &known) {
		return answer{"error": known.Message, "message": known.Description}
	}
	return answer{"error": fmt.Sprintf("%T", err), "message": err.Error()}
}

func connect(a ask, options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options, kgo.SeedBrokers(strings.Split(a.Bootstrap, ",")...))...)
}

var codecs = map[string]kgo.CompressionCodec{
	"":       kgo.NoCompression(),
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func produce(ctx context.Context, a ask) (answer, error) {
	options := []kgo.Opt{
		kgo.ProducerBatchCompression(codecs[a.Codec]),
		kgo.DefaultProduceTopic(a.Topic),
		kgo.RecordPartitioner(keysOrGiven{kgo.StickyKeyPartitioner(nil)}),
	}
	acks, given := a.Acks.(float64)
	switch {
	case given && acks == 0:
		options = append(options, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	case given && acks == 1:
		options = append(options, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case !a.Idempotent:
		options = append(options, kgo.DisableIdempotentWrite())
	}
	client, err := connect(a, options...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	sent := make([]answer, len(a.Records))
	for number, row := range a.Records {
		client.Produce(ctx, row.native(), func(done *kgo.Record, err error) {
			if err != nil {
				sent[number] = failure(err)
			} else {
				sent[number] = answer{"partition": done.Partition, "offset": done.Offset}
			}
		})
	}
	return answer{"sent": sent}, client.Flush(ctx)
}

// A record goes to the partition that is given, or where its key belongs.
type keysOrGiven struct{ kgo.Partitioner }

type keyOrGiven struct{ kgo.TopicPartitioner }

func (p keysOrGiven) ForTopic(topic string) kgo.TopicPartitioner {
	return keyOrGiven{p.Partitioner.ForTopic(topic)}
}

func (p keyOrGiven) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition)
	}
	return p.TopicPartitioner.Partition(r, n)
}

func (r record) native() *kgo.Record {
	native := &kgo.Record{Partition: -1}
	if r.Partition != nil {
		native.Partition = *r.Partition
	}
	if r.Timestamp != nil {
		native.Timestamp = time.UnixMilli(*r.Timestamp)
	}
	if r.Key != nil {
		native.Key = []byte(*r.Key)
	}
	if r.Value != nil {
		native.Value = []byte(*r.Value)
	}
	for _, header := range r.Headers {
		native.Headers = append(native.Headers, kgo.RecordHeader{Key: *header[0], Value: []byte(*header[1])})
	}
	return native
}

func text(bytes []byte) *string {
	if bytes == nil {
		return nil
	}
	told := string(bytes)
	return &told
}

func shown(r *kgo.Record) record {
	at := r.Timestamp.UnixMilli()
	row := record{
		Partition: &r.Partition,
		Offset:    r.Offset,
		Timestamp: &at,
		Key:       text(r.Key),
		Value:     text(r.Value),
		Headers:   [][2]*string{},
	}
	for _, header := range r.Headers {
		row.Headers = append(row.Headers, [2]*string{&header.Key, text(header.Value)})
	}
	return row
}

func consume(ctx context.Context, a ask) (answer, error) {
	from := kgo.NewOffset().AtStart()
	if at, given := a.Offset.(float64); given {
		from = kgo.NewOffset().At(int64(at))
	}
	partitions := map[string]map[int32]kgo.Offset{a.Topic: {a.Partition: from}}
	client, err := connect(a, kgo.ConsumePartitions(partitions))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	rows := []record{}
	for len(rows) < a.Count && ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) { rows = append(rows, shown(r)) })
	}
	return answer{"records": rows}, nil
}
