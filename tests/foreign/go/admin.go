package main

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func administer(ctx context.Context, a ask) (answer, error) {
	client, err := connect(a)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	switch a.Do {
	case "create_topic":
		configs := map[string]*string{}
		for name, value := range a.Configs {
			configs[name] = kadm.StringPtr(value)
		}
		_, err = admin.CreateTopic(ctx, a.Partitions, 1, configs, a.Topic)
	case "topic":
		return topic(ctx, admin, a.Topic)
	case "delete_topic":
		_, err = admin.DeleteTopic(ctx, a.Topic)
	case "grow":
		var told kadm.CreatePartitionsResponses
		told, err = admin.UpdatePartitions(ctx, int(a.Partitions), a.Topic)
		err = errors.Join(err, told.Error())
	case "configs":
		return configs(ctx, admin, a.Topic)
	case "set_config":
		var told kadm.AlterConfigsResponses
		set := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: a.Name, Value: &a.Value}}
		told, err = admin.AlterTopicConfigs(ctx, set, a.Topic)
		for _, one := range told {
			err = errors.Join(err, one.Err)
		}
	case "delete_records":
		before := kadm.Offsets{}
		before.AddOffset(a.Topic, a.Partition, a.Before, -1)
		var told kadm.DeleteRecordsResponses
		told, err = admin.DeleteRecords(ctx, before)
		err = errors.Join(err, told.Error())
	case "groups":
		var told kadm.ListedGroups
		told, err = admin.ListGroupsByType(ctx, a.Types, a.States...)
		return answer{"groups": told.Groups()}, err
	case "group":
		return group(ctx, admin, a.Group)
	case "delete_group":
		var told kadm.DeleteGroupResponses
		told, err = admin.DeleteGroups(ctx, a.Group)
		err = errors.Join(err, told.Error())
	case "committed":
		return committed(ctx, admin, a)
	case "set_committed":
		offsets := kadm.Offsets{}
		offsets.AddOffset(a.Topic, a.Partition, int64(a.Offset.(float64)), -1)
		err = admin.CommitAllOffsets(ctx, a.Group, offsets)
	case "nodes":
		var brokers kadm.BrokerDetails
		brokers, err = admin.ListBrokers(ctx)
		return answer{"count": len(brokers)}, err
	default:
		return further(ctx, admin, a)
	}
	return answer{}, err
}

func topic(ctx context.Context, admin *kadm.Client, name string) (answer, error) {
	found, err := admin.ListTopics(ctx, name)
	if err != nil {
		return nil, err
	}
	if err = found[name].Err; err != nil {
		return nil, err
	}
	leaders := []int32{}
	for _, one := range found[name].Partitions.Sorted() {
		leaders = append(leaders, one.Leader)
	}
	return answer{"partitions": len(leaders), "leaders": leaders}, nil
}

func configs(ctx context.Context, admin *kadm.Client, name string) (answer, error) {
	found, err := admin.DescribeTopicConfigs(ctx, name)
	if err != nil {
		return nil, err
	}
	one, err := found.On(name, nil)
	if err != nil {
		return nil, err
	}
	values := map[string]*string{}
	for _, config := range one.Configs {
		values[config.Key] = config.Value
	}
	return answer{"configs": values}, one.Err
}

func group(ctx context.Context, admin *kadm.Client, name string) (answer, error) {
	found, err := admin.DescribeGroups(ctx, name)
	if err != nil {
		return nil, err
	}
	one := found[name]
	counts := []int{}
	for _, member := range one.Members {
		count := 0
		if assigned, ok := member.Assigned.AsConsumer(); ok {
			for _, row := range assigned.Topics {
				count += len(row.Partitions)
			}
		}
		counts = append(counts, count)
	}
	return answer{"state": one.State, "members": counts, "assignor": one.Protocol}, one.Err
}

func committed(ctx context.Context, admin *kadm.Client, a ask) (answer, error) {
	found, err := admin.FetchOffsets(ctx, a.Group)
	if err != nil {
		return nil, err
	}
	row, ok := found.Lookup(a.Topic, a.Partition)
	if !ok {
		return answer{"offset": nil}, nil
	}
	return answer{"offset": row.At}, row.Err
}

func offsets(ctx context.Context, a ask) (answer, error) {
	client, err := connect(a, kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	first, err := admin.ListStartOffsets(ctx, a.Topic)
	if err != nil {
		return nil, err
	}
	last, err := admin.ListEndOffsets(ctx, a.Topic)
	if err != nil {
		return nil, err
	}
	told := answer{
		"earliest": first[a.Topic][a.Partition].Offset,
		"latest":   last[a.Topic][a.Partition].Offset,
	}
	if a.Time != nil {
		at, err := admin.ListOffsetsAfterMilli(ctx, *a.Time, a.Topic)
		if err != nil {
			return nil, err
		}
		told["at"] = at[a.Topic][a.Partition].Offset
	}
	return told, nil
}
