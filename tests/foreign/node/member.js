// A member of a group: it reads by itself, and commits what it has read.
'use strict'

const members = new Map()

const text = bytes => (bytes === null || bytes === undefined ? null : bytes.toString())

function shown(partition, message) {
  const headers = []
  for (const [name, values] of Object.entries(message.headers || {})) {
    for (const value of [values].flat()) headers.push([name, text(value)])
  }
  return {
    partition,
    offset: Number(message.offset),
    timestamp: Number(message.timestamp),
    key: text(message.key),
    value: text(message.value),
    headers,
  }
}

async function join(kafka, ask) {
  const consumer = kafka.consumer({
    groupId: ask.group,
    sessionTimeout: ask.session_ms || 10_000,
    heartbeatInterval: 200,
    maxWaitTimeInMs: 200,
  })
  const records = []
  const events = []
  let assigned = []
  let failed = null
  const rows = assignment =>
    Object.entries(assignment).flatMap(([topic, numbers]) => numbers.map(one => [topic, one]))
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    assigned = rows(payload.memberAssignment)
    events.push(['assigned', assigned])
  })
  consumer.on(consumer.events.REBALANCING, () => {
    events.push(['revoked', assigned])
    assigned = []
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => { failed = String(payload.error) })
  const seen = () => ({ assigned, records, events, failed })
  const leave = async () => {
    await consumer.disconnect()
    return seen()
  }
  members.set(ask.member, { seen, leave })
  await consumer.connect()
  const topics = [ask.pattern ? new RegExp(ask.pattern) : ask.topic]
  await consumer.subscribe({ topics, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ partition, message }) => { records.push(shown(partition, message)) },
  })
  return {}
}

module.exports = { members, join, shown }
