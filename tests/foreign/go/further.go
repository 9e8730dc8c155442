package main

import (
	"context"
	"errors"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// What not every client's admin does.
func further(ctx context.Context, admin *kadm.Client, a ask) (answer, error) {
	one := kadm.TopicsSet{}
	one.Add(a.Topic, a.Partition)
	switch a.Do {
	case "topics":
		return topics(ctx, admin, a.Internal)
	case "unset_config":
		unset := []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: a.Name}}
		told, err := admin.AlterTopicConfigs(ctx, unset, a.Topic)
		for _, row := range told {
			err = errors.Join(err, row.Err)
		}
		return answer{}, err
	case "offset_of":
		return offsetOf(ctx, admin, a)
	case "committed_by":
		told := map[string]int64{}
		found := admin.FetchManyOffsets(ctx, a.Groups...)
		for group, rows := range found {
			if row, ok := rows.Fetched.Lookup(a.Topic, a.Partition); ok {
				told[group] = row.At
			}
		}
		return answer{"offsets": told}, found.Error()
	case "delete_committed":
		told, err := admin.DeleteOffsets(ctx, a.Group, one)
		return answer{}, errors.Join(err, told.Error())
	case "remove_member":
		told, err := admin.LeaveGroup(ctx, kadm.LeaveGroup(a.Group).InstanceIDs(a.Instance))
		return answer{}, errors.Join(err, told.Error())
	case "elect":
		return elect(ctx, admin, a, one)
	case "reassignments":
		told, err := admin.ListPartitionReassignments(ctx, one)
		return answer{"count": len(told)}, err
	case "log_dirs":
		return logDirs(ctx, admin, a.Topic)
	case "producers":
		return producers(ctx, admin, one)
	}
	return nil, errors.New("unknown: " + a.Do)
}

func topics(ctx context.Context, admin *kadm.Client, internal bool) (answer, error) {
	list := admin.ListTopics
	if internal {
		list = admin.ListTopicsWithInternal
	}
	found, err := list(ctx)
	told := map[string]bool{}
	for name, topic := range found {
		told[name] = topic.IsInternal
	}
	return answer{"topics": told}, err
}

func offsetOf(ctx context.Context, admin *kadm.Client, a ask) (found answer, err error) {
	var listed kadm.ListedOffsets
	switch a.Spec {
	case "earliest":
		listed, err = admin.ListStartOffsets(ctx, a.Topic)
	case "latest":
		listed, err = admin.ListEndOffsets(ctx, a.Topic)
	case "max_timestamp":
		listed, err = admin.ListMaxTimestampOffsets(ctx, a.Topic)
	default:
		listed, err = admin.ListOffsetsAfterMilli(ctx, *a.Time, a.Topic)
	}
	if err != nil {
		return nil, err
	}
	row := listed[a.Topic][a.Partition]
	return answer{"offset": row.Offset, "timestamp": row.Timestamp}, row.Err
}

func elect(ctx context.Context, admin *kadm.Client, a ask, one kadm.TopicsSet) (answer, error) {
	told := answer{}
	for name, how := range map[string]kadm.ElectLeadersHow{
		"PREFERRED": kadm.ElectPreferredReplica,
		"UNCLEAN":   kadm.ElectLiveReplica,
	} {
		found, err := admin.ElectLeaders(ctx, how, one)
		if err != nil {
			return nil, err
		}
		told[name] = nil
		var known *kerr.Error
		if errors.As(found[a.Topic][a.Partition].Err, &known) {
			told[name] = known.Message
		}
	}
	return told, nil
}

func logDirs(ctx context.Context, admin *kadm.Client, topic string) (answer, error) {
	sizes := map[string]int64{}
	wanted := kadm.TopicsSet{}
	wanted.Add(topic)
	if found, err := admin.ListTopics(ctx, topic); err == nil {
		wanted.Add(topic, found[topic].Partitions.Numbers()...)
	}
	found, err := admin.DescribeAllLogDirs(ctx, wanted)
	for _, dirs := range found {
		dirs.EachPartition(func(one kadm.DescribedLogDirPartition) {
			sizes[strconv.Itoa(int(one.Partition))] = one.Size
		})
	}
	return answer{"sizes": sizes}, err
}

func producers(ctx context.Context, admin *kadm.Client, one kadm.TopicsSet) (answer, error) {
	found, err := admin.DescribeProducers(ctx, one)
	rows := [][3]int64{}
	found.EachProducer(func(p kadm.DescribedProducer) {
		rows = append(rows, [3]int64{p.ProducerID, int64(p.ProducerEpoch), int64(p.LastSequence)})
	})
	return answer{"producers": rows}, err
}
