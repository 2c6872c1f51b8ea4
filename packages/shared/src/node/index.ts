export { atMost } from './at-most.js'
export { BatchLane, type BatchLaneOptions, LaneFullError } from './batch-lane.js'
export { type Bus, type BusSubscription, maxMessageBytes, NoReplyError, type RequestOptions, type SubscribeOptions } from './bus.js'
export { type Clock, systemClock } from './clock.js'
export {
  type ArtifactSettings,
  childEnvironment,
  coordinatorMode,
  type Environment,
  type EnvironmentVariable,
  environmentTable,
  type FleetUrls,
  type Mode,
  type ModelEnvironment,
  namedVariable,
  readEnvironment,
  workerUrls,
} from './env.js'
export {
  type ArmedFailpoint,
  armFailpoints,
  type FailpointAction,
  type FailpointName,
  failpoint,
  failpointActions,
  failpointAfter,
  failpoints,
  parseFailpoints,
} from './failpoint.js'
export { JobAdder, JobWork, type QueueHand, type TakenJob } from './job-scripts.js'
export { createLogger, type Logger, type LogLevel, logLevels, maskSecrets, silentLogger } from './logger.js'
export { MemoryBusHub } from './memory-bus.js'
export { MemoryQueue } from './memory-queue.js'
export { connectNatsBus } from './nats-bus.js'
export {
  type Consumption,
  Door,
  type JobConsumption,
  type NextJob,
  type OnJob,
  type QueueConsumer,
  type Ring,
  Slots,
  type TaskQueue,
  Turn,
} from './queue.js'
export { rarely } from './rarely.js'
export { hopelessRedisError, type RedisEndpoint, redisConnection, redisEndpoint, refusingRedisError } from './redis-url.js'
export { type Service, startAll } from './service.js'
export { SlotMap } from './slot-map.js'
export { Ticker } from './ticker.js'
