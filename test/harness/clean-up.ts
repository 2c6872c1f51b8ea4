/** What a test made is taken away when the test ends; what `beforeAll` made, when its file ends. */
import { onTestFinished } from 'vitest'

type CleanUp = () => Promise<unknown> | unknown

const ofThisFile: CleanUp[] = []

/** Runs at the end of the test, or of the file when called outside of a test. Last registered, first run. */
export function cleanUp(work: CleanUp): void {
  try {
    onTestFinished(async () => {
      await work()
    })
  } catch {
    ofThisFile.push(work) // Vitest throws outside of a test
  }
}

/** For the set-up of every test file (leaks.ts). */
export async function cleanUpFile(): Promise<void> {
  const failures: unknown[] = []
  for (let work = ofThisFile.pop(); work; work = ofThisFile.pop()) {
    try {
      await work()
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, 'what this file made could not be taken away')
}
