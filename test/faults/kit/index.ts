export { type Account, accountOf } from '../history/account.js'
export { check } from '../history/check.js'
export type { History, Operation, Violation } from '../history/history.js'
export { Driver, type Outcome } from './driver.js'
export {
  type FaultAgent,
  FaultFleet,
  type FaultFleetOptions,
  type MemberName,
  openFaultFleet,
  sharedFleet,
  startFaultFleet,
} from './fleet.js'
export { Ghost, type Held, reportOf, resultOf } from './ghost.js'
export { lasts, listen, pairs, subtasksOf } from './load.js'
export type { CoordinatorMember, FaultProxy, WorkerMember } from './member.js'
export { type Choices, choices, seeded } from './seed.js'
export { faultStage, openStage, type Stage, type StageOptions } from './stage.js'
