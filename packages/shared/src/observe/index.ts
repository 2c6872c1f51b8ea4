export { BoundedLabel } from './bounded-label.js'
export { LogFile, type LogFileOptions } from './log-file.js'
export { type Exposition, type MetricDefinition, Metrics, type MetricTable, secondsBuckets } from './metrics.js'
