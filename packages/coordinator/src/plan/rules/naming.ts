/** Names of planned subtasks: short slugs of their titles, unique within the plan. */

const fillers = new Set(
  'the a an and or of to in on for with from into by at as is are be it its this that our your their please we also so'.split(' '),
)
const longestName = 48

/** Gives a unique name for each title it is asked for. */
export function createNamer(): (title: string, prefix?: string) => string {
  const taken = new Map<string, number>()
  return (title, prefix) => {
    const slug = slugOf(prefix ? `${prefix} ${title}` : title)
    const count = (taken.get(slug) ?? 0) + 1
    taken.set(slug, count)
    if (count === 1) return slug
    let name = `${slug}-${count}`
    for (let n = count + 1; taken.has(name); n++) name = `${slug}-${n}`
    taken.set(name, 1)
    return name
  }
}

function slugOf(title: string): string {
  const plain = title.slice(0, 300).normalize('NFKD').toLowerCase()
  const words = (plain.match(/[a-z0-9]+/g) ?? []).filter(word => !fillers.has(word))
  let slug = ''
  for (const word of words) {
    if (slug.length + word.length >= longestName) break
    slug = slug ? `${slug}-${word}` : word
  }
  return slug || (words[0] ?? 'work').slice(0, longestName)
}
