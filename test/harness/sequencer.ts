/**
 * The order of the test files. Fault tests, which are many processes at once and look at the clock, are spread over the
 * run, so that seldom two of them have the machine at the same time. Small files come last and fill the end; those that
 * share a process follow each other, or each would have to start one.
 */
import { statSync } from 'node:fs'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

export class Spread extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const largestFirst = files
      .map(file => ({ file, size: statSync(file.moduleId).size }))
      .sort((a, b) => b.size - a.size)
      .map(({ file }) => file)
    const among = (fits: (file: TestSpecification) => boolean) => largestFirst.filter(fits)
    const isFault = ({ moduleId }: TestSpecification) => moduleId.includes('/test/faults/')
    /** Small files that take long. */
    const isModel = ({ moduleId }: TestSpecification) => moduleId.includes('/test/model/')
    const alone = among(({ project }) => project.config.isolate)
    const others = [...alone.filter(isModel), ...alone.filter(file => !isFault(file) && !isModel(file))]
    return [...spread(alone.filter(isFault), others), ...among(({ project }) => !project.config.isolate)]
  }
}

/** Both in their order, the shorter list evenly among the longer one. */
function spread<T>(few: readonly T[], many: readonly T[]): T[] {
  const step = Math.max(1, Math.floor(many.length / (few.length + 1)))
  return [
    ...many.flatMap((each, n) => [...(n % step === 0 ? few.slice(n / step, n / step + 1) : []), each]),
    ...few.slice(Math.ceil(many.length / step)),
  ]
}
