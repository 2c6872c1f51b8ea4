/** Which methods a path takes, for 405: Fastify answers 404 where only the method is wrong. */
import type { Route } from './route.js'

export function methodsOf(routes: readonly Route[]): (url: string) => string[] {
  const patterns = routes.map(({ method, path }) => ({ methods: method === 'GET' ? ['GET', 'HEAD'] : [method], pattern: patternOf(path) }))
  return url => {
    const path = url.replace(/[?#].*$/s, '')
    return [...new Set(patterns.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => methods))]
  }
}

function patternOf(path: string): RegExp {
  const parts = path.split('/').map(part => (part.startsWith(':') ? '[^/]+' : part.replace(/[.]/g, '\\.')))
  return new RegExp(`^${parts.join('/')}$`)
}
