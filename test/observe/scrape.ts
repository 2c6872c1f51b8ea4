/** Reads metrics as Prometheus does. */

export interface Scraped {
  readonly text: string
  /** The names of all metrics, without the endings of histograms. */
  readonly names: readonly string[]
  /** A sample; 0 where there is no such series. */
  value(name: string, labels?: Readonly<Record<string, string>>): number
}

export async function scrape(url: string, headers: Record<string, string> = {}): Promise<Scraped> {
  const answer = await fetch(`${url}/metrics`, { headers })
  if (!answer.ok) throw new Error(`/metrics answered ${answer.status}`)
  const text = await answer.text()
  const samples = new Map<string, number>()
  for (const line of text.split('\n')) {
    const [, name = '', labels = '', value = ''] = /^([a-z_:][\w:]*)(?:\{(.*)\})? (\S+)$/i.exec(line) ?? []
    if (name)
      samples.set(keyOf(name, Object.fromEntries([...labels.matchAll(/(\w+)="([^"]*)"/g)].map(m => [m[1], m[2] ?? '']))), Number(value))
  }
  return {
    text,
    names: [...text.matchAll(/^# TYPE (\S+)/gm)].map(match => match[1] ?? ''),
    value: (name, labels = {}) => samples.get(keyOf(name, labels)) ?? 0,
  }
}

const keyOf = (name: string, labels: Readonly<Record<string, string>>) =>
  `${name} ${Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join(' ')}`
