/** Prometheus' own tool reads what ops/ has: rules, configuration, and every expression of the dashboard. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { repositoryFile } from '../docs/markdown-table.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const promtool = async (...args: string[]) => (await promisify(execFile)('promtool', args, { cwd: root, timeout: 60_000 })).stdout
const there = await promtool('--version').then(
  () => true,
  () => false,
)
const when = there ? '' : ' (skipped: promtool, of the package prometheus, is not on the PATH)'

const folder = mkdtempSync(join(tmpdir(), 'baton-promtool-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test.skipIf(!there)(`alerts fire when they should, and not before${when}`, async () => {
  expect(await promtool('test', 'rules', 'test/deploy/alerts.promtool.yml')).toContain('SUCCESS')
})

test.skipIf(!there)(`rules and configuration are what Prometheus takes${when}`, async () => {
  expect(await promtool('check', 'rules', 'ops/prometheus/alerts.yml')).toContain('SUCCESS')
  // Without looking for the file of the key, which compose mounts.
  expect(await promtool('check', 'config', '--syntax-only', 'ops/prometheus/prometheus.yml')).toContain('SUCCESS')
})

test.skipIf(!there)(`every expression of the dashboard is one${when}`, async () => {
  const { panels } = JSON.parse(repositoryFile('ops/grafana/dashboards/baton.json')) as { panels: { targets: { expr: string }[] }[] }
  const rules = panels
    .flatMap(({ targets }) => targets)
    .map(({ expr }, n) => ({ record: `panel:${n}`, expr: expr.replaceAll('$__rate_interval', '1m') }))
  const file = join(folder, 'panels.yml')
  writeFileSync(file, JSON.stringify({ groups: [{ name: 'panels', rules }] })) // JSON is YAML
  expect(await promtool('check', 'rules', file)).toContain(`SUCCESS: ${rules.length} rules found`)
})

test('every alert has a test', () => {
  const { groups } = parse(repositoryFile('ops/prometheus/alerts.yml')) as { groups: { rules: { alert: string }[] }[] }
  const { tests } = parse(repositoryFile('test/deploy/alerts.promtool.yml')) as {
    tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[]
  }
  const fired = tests.flatMap(each => each.alert_rule_test).flatMap(each => (each.exp_alerts.length > 0 ? [each.alertname] : []))
  expect([...new Set(fired)].sort()).toEqual(groups.flatMap(({ rules }) => rules.map(({ alert }) => alert)).sort())
})
