/** `/`, `/docs`, `/openapi.json`: texts that are the same for everybody, made once. */
import { docsPage } from '../docs-page.js'
import type { OpenApi } from '../openapi.js'
import { homePage } from '../page/home-page.js'
import { defineRoute, type Route } from '../route.js'
import { pagePolicy } from '../security-headers.js'

interface DocumentOptions {
  readonly mode: 'local' | 'fleet'
  /** Asked at the first request: the document lists these routes too. */
  openApi(): OpenApi
}

export function documentRoutes({ mode, openApi }: DocumentOptions): Route[] {
  const home = homePage(mode)
  const html = (policy: string) => ({
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': policy,
    'cache-control': 'no-cache',
  })
  let docs: ReturnType<typeof docsPage> | undefined
  return [
    defineRoute({
      method: 'GET',
      path: '/',
      id: 'home',
      summary: 'A page that shows tasks, workers and agents to people.',
      answers: { 200: { description: 'The page; it asks for the key itself.', mediaType: 'text/html' } },
      errors: [],
      async answer() {
        return { headers: html(pagePolicy(home)), content: home.html }
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/docs',
      id: 'docs',
      summary: 'This API as a page for people.',
      answers: { 200: { description: 'The page.', mediaType: 'text/html' } },
      errors: [],
      async answer() {
        docs ??= docsPage(openApi())
        return { headers: html(pagePolicy(docs)), content: docs.html }
      },
    }),
    defineRoute({
      method: 'GET',
      path: '/openapi.json',
      id: 'openapi',
      summary: 'This API as an OpenAPI 3.1 document.',
      answers: { 200: { description: 'The document.', mediaType: 'application/json' } },
      errors: [],
      async answer() {
        return { headers: { 'cache-control': 'no-cache' }, json: openApi() }
      },
    }),
  ]
}
