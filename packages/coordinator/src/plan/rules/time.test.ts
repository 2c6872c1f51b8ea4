import { describe, expect, test } from 'vitest'
import { createPlanner } from '../planner.js'

const planner = createPlanner()
const planOn = (day: string, description: string) =>
  planner.plan({ task_id: 't', title: 'Work', description }, new Date(`${day}T09:00:00Z`))

describe('how long the work may take', () => {
  test.each([
    ['Fix the footer within 2 hours.', 7_200],
    ['Please have this done in under 30 minutes. Fix the footer.', 1_800],
    ['Fix the footer. SLA: 4h.', 14_400],
  ])('%s', (description, seconds) => expect(planOn('2026-11-20', description).slaMs).toBe(seconds * 1_000))

  test.each([
    'Add an endpoint that responds within 5 minutes.',
    'Sessions should expire within 30 minutes.',
    'Add a cache so that pages load in under 2 minutes.',
    'Keep logs for 30 days.',
  ])('%s is about the product', description => expect(planOn('2026-11-20', description).slaMs).toBeNull())
})

describe('when the work is due', () => {
  // 2026-11-20 is a Friday.
  test.each([
    ['2026-11-20', 'by 2026-12-01', '2026-12-01'],
    ['2026-11-20', 'by Dec 1', '2026-12-01'],
    ['2026-11-20', 'by 1 February', '2027-02-01'],
    ['2026-11-20', 'by December 24th, 2027', '2027-12-24'],
    ['2026-11-17', 'until Friday', '2026-11-20'],
    ['2026-11-20', 'until Friday', '2026-11-27'],
    ['2026-11-16', 'by next Wednesday', '2026-11-25'],
    ['2026-11-20', 'by tomorrow', '2026-11-21'],
    ['2026-11-20', 'by end of month', '2026-11-30'],
  ])('on %s, "%s" is %s', (today, words, due) => expect(planOn(today, `Fix the footer ${words}.`).dueDate).toBe(due))

  test.each([
    'Archive orders created before 2026-12-24.',
    'Add an offer that is valid until Dec 24.',
    'Sort the list by month.',
    'Fix it by 2026-02-31.',
  ])('%s says no due date', description => expect(planOn('2026-11-20', description).dueDate).toBeNull())
})
