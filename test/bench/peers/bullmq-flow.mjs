// BullMQ FlowProducer on Redis (REDIS_URL): producer and worker in this process, concurrency 100 (or half
// of what is in flight, if that is more), end of a flow seen through the worker's own 'completed' event. Nothing but
// Redis is durable here.
import { FlowProducer, Queue, Worker } from 'bullmq'
import { bench, inFlightOr } from './common.mjs'

const url = new URL(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379')
const connection = { host: url.hostname, port: Number(url.port || 6379), maxRetriesPerRequest: null }
const queueName = `peer-flow-${process.pid}`
const opts = { removeOnComplete: true }
const ended = new Map()

const producer = new FlowProducer({ connection })
const worker = new Worker(queueName, async () => 1, { connection, concurrency: Math.max(100, inFlightOr(100) / 2) })
worker.on('error', error => console.error(error.message))
worker.on('completed', job => { if (job.name === 'root') { ended.get(job.data.id)?.(); ended.delete(job.data.id) } })
await worker.waitUntilReady()

const node = (name, id, nodes) => ({ name, queueName, data: { id }, opts, ...(nodes && { children: nodes }) })
const run = async (id, flow) => {
  const end = new Promise(resolve => ended.set(id, resolve))
  await producer.add(flow)
  await end
}
await bench({
  peer: 'bullmq-flow', runs: 5,
  chain: id => run(id, node('root', id, [node('step', id, [node('step', id)])])),
  fan: id => run(id, node('root', id, Array.from({ length: 20 }, () => node('step', id)))),
})
await new Queue(queueName, { connection }).obliterate({ force: true })
process.exit(0)
