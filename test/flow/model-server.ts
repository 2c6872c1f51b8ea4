/** A server of a test's own that speaks OpenAI's protocol, and answers as well or as badly as the test says. */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request for a chat, as far as tests look at it. */
export interface ChatRequest {
  readonly model: string
  readonly messages: readonly { readonly role: string; readonly content: string }[]
  readonly response_format?: { readonly type: string; readonly json_schema?: { readonly schema: unknown } }
  readonly authorization: string | undefined
}

export type ChatAnswer =
  /** What the model says: a text, or a value that it says as JSON. */
  | { readonly says: unknown }
  | { readonly status: number; readonly body?: string; readonly headers?: Record<string, string> }
  /** A body without end. */
  | 'endless'
  /** The connection ends. */
  | 'break'
  /** Nothing at all. */
  | 'silence'

export interface ModelServer {
  /** Up to and with its version. */
  readonly url: string
  readonly requests: readonly ChatRequest[]
  /** How many requests it has that are not answered. */
  readonly open: number
  answer: (request: ChatRequest, n: number) => ChatAnswer | Promise<ChatAnswer>
  stop(): Promise<void>
}

export async function startModelServer(answer: ModelServer['answer']): Promise<ModelServer> {
  const requests: ChatRequest[] = []
  let open = 0
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = []
    open++
    response.once('close', () => {
      open--
    })
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString()) as Omit<ChatRequest, 'authorization'>
      const request = { ...body, authorization: incoming.headers.authorization }
      requests.push(request)
      void Promise.resolve(self.answer(request, requests.length)).then(said => reply(response, said))
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo // it listens on TCP
  const self: ModelServer = {
    url: `http://127.0.0.1:${port}/v1`,
    requests,
    get open() {
      return open
    },
    answer,
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return self
}

function reply(response: ServerResponse, answer: ChatAnswer): void {
  if (answer === 'silence' || response.destroyed) return
  if (answer === 'break') {
    response.destroy()
    return
  }
  if (answer === 'endless') {
    response.writeHead(200, { 'content-type': 'application/json' })
    const more = () => {
      while (!response.destroyed && response.write(' '.repeat(65_536)));
      if (!response.destroyed) response.once('drain', more)
    }
    more()
    return
  }
  if ('status' in answer) {
    response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers })
    response.end(answer.body ?? '{"error":{"message":"the server said so"}}')
    return
  }
  const content = typeof answer.says === 'string' ? answer.says : JSON.stringify(answer.says)
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(
    JSON.stringify({
      id: 'chat-1',
      object: 'chat.completion',
      created: 1,
      model: 'test',
      choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
    }),
  )
}

export interface DraftChanges {
  readonly [key: string]: unknown
}

/** A subtask as a model drafts it. */
export const drafted = (name: string, changes: DraftChanges = {}) => ({
  name,
  title: `The ${name}`,
  purpose: `Do what the ${name} is about`,
  capability: 'echo',
  depends_on: [],
  serves: [],
  prerequisites: [],
  done_when: `the ${name} is there`,
  requires_approval: false,
  ...changes,
})

export const draft = (subtasks: readonly unknown[], changes: DraftChanges = {}) => ({
  objectives: ['An answer for Mrs. Miller'],
  constraints: [],
  acceptance_criteria: [],
  subtasks,
  ...changes,
})
