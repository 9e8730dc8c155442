// Does what each line of its input says, and answers with a line of JSON: see tests/foreign.
'use strict'

const readline = require('node:readline')
const { CompressionCodecs, CompressionTypes, Kafka, Partitioners, logLevel } = require('kafkajs')
const lz4 = require('lz4-napi')
const administer = require('./admin.js')
const { members, join, shown } = require('./member.js')

CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: encoder => lz4.compressFrame(encoder.buffer),
  decompress: buffer => lz4.decompressFrame(buffer),
})

const CODECS = { none: 0, gzip: 1, snappy: 2, lz4: 3 }
const DEADLINE_MS = 60_000

const connect = (ask, clientId) =>
  new Kafka({
    clientId: clientId || 'tests',
    brokers: ask.bootstrap.split(','),
    logLevel: logLevel.WARN,
    logCreator: () => entry => console.error(JSON.stringify(entry)),
  })

async function produce(ask) {
  const producer = connect(ask).producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    idempotent: ask.idempotent || false,
    maxInFlightRequests: ask.idempotent ? 1 : null,
  })
  await producer.connect()
  const sent = []
  const send = async messages => {
    const acks = ask.acks ?? -1
    const [row] = await producer.send({
      topic: ask.topic,
      acks,
      compression: CODECS[ask.codec || 'none'],
      messages,
    }).then(rows => rows.length ? rows : [{ baseOffset: -1 }])
    messages.forEach((_, number) =>
      sent.push({ partition: row.partition, offset: Number(row.baseOffset) + number }))
  }
  try {
    const messages = ask.records.map(message)
    if (messages.every(one => one.partition === 0)) {
      await send(messages)
    } else {
      // The answer does not say which record went where.
      for (const one of messages) await send([one])
    }
  } finally {
    await producer.disconnect()
  }
  return { sent }
}

function message(record) {
  const headers = {}
  for (const [name, value] of record.headers || []) {
    headers[name] = name in headers ? [headers[name], value].flat() : value
  }
  return {
    partition: record.partition,
    timestamp: record.timestamp === undefined ? undefined : String(record.timestamp),
    key: record.key ?? null,
    value: record.value ?? null,
    headers,
  }
}

// kafkajs reads in groups only: one of its own, from the offset that is asked for.
async function consume(ask) {
  const consumer = connect(ask).consumer({
    groupId: `reader-${ask.topic}-${process.hrtime.bigint()}`,
    sessionTimeout: 10_000,
    heartbeatInterval: 500,
  })
  await consumer.connect()
  await consumer.subscribe({ topic: ask.topic, fromBeginning: true })
  const records = []
  const first = ask.offset === 'earliest' ? 0 : ask.offset
  let full
  const done = new Promise(resolve => { full = resolve })
  const timer = setTimeout(full, DEADLINE_MS)
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message: one }) => {
      if (partition === ask.partition && Number(one.offset) >= first) {
        records.push(shown(partition, one))
      }
      if (records.length >= ask.count) full()
    },
  })
  if (ask.offset !== 'earliest') {
    consumer.seek({ topic: ask.topic, partition: ask.partition, offset: String(ask.offset) })
  }
  await done
  clearTimeout(timer)
  await consumer.disconnect()
  return { records }
}

async function serve(ask) {
  switch (ask.do) {
    case 'produce':
      return produce(ask)
    case 'consume':
      return consume(ask)
    case 'join':
      return join(connect(ask, ask.member), ask)
    case 'member':
      return members.get(ask.member).seen()
    case 'leave': {
      const member = members.get(ask.member)
      members.delete(ask.member)
      return member.leave()
    }
    default: {
      const admin = connect(ask).admin()
      await admin.connect()
      try {
        return await administer(admin, ask)
      } finally {
        await admin.disconnect()
      }
    }
  }
}

function failure(error) {
  const inner = error.groups?.[0]?.error || error.errors?.[0] || error.cause || error
  return { error: inner.type || inner.name, message: inner.message }
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const told = await serve(JSON.parse(line)).catch(failure)
    process.stdout.write(`${JSON.stringify(told)}\n`)
  }
  process.exit(0)
}

main()
