export { BoundedLabel } from './bounded-label.js'
export { type Exposition, type MetricDefinition, Metrics, type MetricTable, secondsBuckets } from './metrics.js'
