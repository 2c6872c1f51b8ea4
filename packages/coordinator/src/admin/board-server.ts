/**
 * Serves Bull Board without a framework: it hands its routes to a server adapter, and this one finds the route of a
 * request. The usual adapter for Fastify would bring a static server and a template engine along.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import type {
  AppControllerRoute,
  AppViewRoute,
  BullBoardQueues,
  ControllerHandlerReturnType,
  IServerAdapter,
  UIConfig,
} from '@bull-board/api/typings/app'
import { type PageAnswer, type PageAsk, queuesPath } from './pages.js'

const types: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
}
/** Its scripts and requests come from here and go here; styles are written by its scripts. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"

interface Compiled {
  readonly method: string
  readonly pattern: RegExp
  readonly route: AppControllerRoute
}

export class BoardServer implements IServerAdapter {
  private queues: BullBoardQueues = new Map()
  private uiConfig: UIConfig = {}
  private viewsPath = ''
  private statics: { route: string; folder: string; files: ReadonlySet<string> } | undefined
  private entry: { patterns: RegExp[]; view: AppViewRoute } | undefined
  private routes: Compiled[] = []
  private onError: (error: Error) => ControllerHandlerReturnType = error => ({ status: 500, body: { error: error.message } })

  setQueues(queues: BullBoardQueues): this {
    this.queues = queues
    return this
  }

  setViewsPath(path: string): this {
    this.viewsPath = path
    return this
  }

  setStaticPath(route: string, folder: string): this {
    const files = existsSync(folder) ? readdirSync(folder, { recursive: true, withFileTypes: true }).filter(entry => entry.isFile()) : []
    this.statics = { route, folder, files: new Set(files.map(file => join(file.parentPath, file.name))) }
    return this
  }

  setEntryRoute(view: AppViewRoute): this {
    this.entry = { patterns: [view.route].flat().map(patternOf), view }
    return this
  }

  setErrorHandler(handler: (error: Error) => ControllerHandlerReturnType): this {
    this.onError = handler
    return this
  }

  setApiRoutes(routes: AppControllerRoute[]): this {
    this.routes = routes.flatMap(route =>
      [route.method].flat().flatMap(method => [route.route].flat().map(path => ({ method, pattern: patternOf(path), route }))),
    )
    return this
  }

  setUIConfig(config: UIConfig): this {
    this.uiConfig = config
    return this
  }

  async answer(ask: PageAsk): Promise<PageAnswer | undefined> {
    const path = ask.path === '' ? '/' : ask.path
    if (ask.method === 'GET' && this.statics && path.startsWith(`${this.statics.route}/`)) return this.file(path)
    if (ask.method === 'GET' && this.entry?.patterns.some(pattern => pattern.test(path))) return this.page(this.entry.view)
    for (const { method, pattern, route } of this.routes) {
      const match = method === ask.method.toLowerCase() ? pattern.exec(path) : null
      if (match) return this.call(route, { ...ask, params: match.groups ?? {} })
    }
    return undefined
  }

  private async call(
    route: AppControllerRoute,
    { query, body, params }: PageAsk & { params: Record<string, string> },
  ): Promise<PageAnswer> {
    const decoded = Object.fromEntries(Object.entries(params).map(([name, value]) => [name, decodeURIComponent(value)]))
    const request = {
      queues: this.queues,
      uiConfig: this.uiConfig,
      query,
      params: decoded,
      body: body as Record<string, unknown>,
      headers: {},
    }
    const result = await Promise.resolve(route.handler(request)).catch((error: unknown) =>
      this.onError(error instanceof Error ? error : new Error(String(error))),
    )
    const headers = { 'content-type': 'application/json; charset=utf-8' }
    return { status: result.status ?? 200, headers, content: result.status === 204 ? '' : (JSON.stringify(result.body) ?? '') }
  }

  private page(view: AppViewRoute): PageAnswer {
    const { name, params } = view.handler({ basePath: queuesPath, uiConfig: this.uiConfig })
    const template = readFileSync(join(this.viewsPath, name), 'utf8')
    const content = template
      .replace(/<link[^>]*fonts\.googleapis\.com[^>]*>/g, '') // nothing is loaded from elsewhere
      .replace(/<%([=-]) (\w+) %>/g, (_, how, key) => (how === '-' ? (params[key] ?? '') : escapeHtml(params[key] ?? '')))
    return { status: 200, headers: { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy }, content }
  }

  private file(path: string): PageAnswer | undefined {
    if (!this.statics) return undefined
    const file = join(this.statics.folder, path.slice(this.statics.route.length))
    if (!this.statics.files.has(file)) return undefined // those that are there, and nothing beside them
    const type = types[extname(file)] ?? 'application/octet-stream'
    return { status: 200, headers: { 'content-type': type, 'cache-control': 'private, max-age=86400' }, content: readFileSync(file) }
  }
}

/** `/queue/:queueName` as a pattern with named groups. */
function patternOf(route: string): RegExp {
  return new RegExp(`^${route.replace(/:(\w+)/g, '(?<$1>[^/]+)')}/?$`)
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)
}
