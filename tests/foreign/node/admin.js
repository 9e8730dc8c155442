// What the admin of kafkajs does.
'use strict'

const { ConfigResourceTypes } = require('kafkajs')

const TOPIC = ConfigResourceTypes.TOPIC

async function createTopic(admin, ask) {
  const configEntries = Object.entries(ask.configs).map(([name, value]) => ({ name, value }))
  const topic = { topic: ask.topic, numPartitions: ask.partitions, configEntries }
  if (!(await admin.createTopics({ topics: [topic] }))) {
    return { error: 'TOPIC_ALREADY_EXISTS' }
  }
  return {}
}

async function topic(admin, ask) {
  const { topics: [found] } = await admin.fetchTopicMetadata({ topics: [ask.topic] })
  return { partitions: found.partitions.length, leaders: found.partitions.map(one => one.leader) }
}

async function configs(admin, ask) {
  const resources = [{ type: TOPIC, name: ask.topic }]
  const { resources: [found] } = await admin.describeConfigs({ resources, includeSynonyms: false })
  return {
    configs: Object.fromEntries(found.configEntries.map(one => [one.configName, one.configValue])),
  }
}

async function offsets(admin, ask) {
  const row = (await admin.fetchTopicOffsets(ask.topic)).find(one => one.partition === ask.partition)
  const at = await admin.fetchTopicOffsetsByTimestamp(ask.topic, ask.time)
  return {
    earliest: Number(row.low),
    latest: Number(row.high),
    at: Number(at.find(one => one.partition === ask.partition).offset),
  }
}

async function committed(admin, ask) {
  const [found] = await admin.fetchOffsets({ groupId: ask.group, topics: [ask.topic] })
  return { offset: Number(found.partitions.find(one => one.partition === ask.partition).offset) }
}

async function group(admin, ask) {
  const { groups: [found] } = await admin.describeGroups([ask.group])
  return { state: found.state, members: found.members.map(() => 0), assignor: found.protocol }
}

async function administer(admin, ask) {
  switch (ask.do) {
    case 'create_topic':
      return createTopic(admin, ask)
    case 'topic':
      return topic(admin, ask)
    case 'delete_topic':
      await admin.deleteTopics({ topics: [ask.topic] })
      return {}
    case 'grow':
      await admin.createPartitions({
        topicPartitions: [{ topic: ask.topic, count: ask.partitions }],
      })
      return {}
    case 'configs':
      return configs(admin, ask)
    case 'set_config':
      await admin.alterConfigs({
        resources: [
          { type: TOPIC, name: ask.topic, configEntries: [{ name: ask.name, value: ask.value }] },
        ],
      })
      return {}
    case 'delete_records':
      // It knows the leader only of topics that it has asked for before.
      await admin.fetchTopicOffsets(ask.topic)
      await admin.deleteTopicRecords({
        topic: ask.topic,
        partitions: [{ partition: ask.partition, offset: String(ask.before) }],
      })
      return {}
    case 'groups':
      return { groups: (await admin.listGroups()).groups.map(one => one.groupId) }
    case 'group':
      return group(admin, ask)
    case 'delete_group':
      await admin.deleteGroups([ask.group])
      return {}
    case 'committed':
      return committed(admin, ask)
    case 'set_committed':
      await admin.setOffsets({
        groupId: ask.group,
        topic: ask.topic,
        partitions: [{ partition: ask.partition, offset: String(ask.offset) }],
      })
      return {}
    case 'reassignments':
      return { count: (await admin.listPartitionReassignments({})).topics.length }
    case 'nodes':
      return { count: (await admin.describeCluster()).brokers.length }
    case 'offsets':
      return offsets(admin, ask)
    default:
      throw new Error(`unknown: ${ask.do}`)
  }
}

module.exports = administer
