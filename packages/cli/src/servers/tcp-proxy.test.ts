import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, Socket } from 'node:net'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { startTcpProxy, type TcpProxy } from './tcp-proxy.js'

let echo: Server
let proxy: TcpProxy
let arrived: string[]
let sockets: Socket[]

beforeEach(async () => {
  arrived = []
  sockets = []
  echo = createServer({ allowHalfOpen: true }, socket => {
    socket.on('data', data => arrived.push(String(data)))
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  await new Promise<void>(resolve => echo.listen(0, '127.0.0.1', resolve))
  proxy = await startTcpProxy({ target: { host: '127.0.0.1', port: (echo.address() as AddressInfo).port } })
})

afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  await proxy.stop()
  await new Promise(resolve => echo.close(resolve))
})

test('forwards both ways, and the end of a stream too', async () => {
  const client = await dial()
  expect(await send(client, 'hello')).toBe('hello')
  client.end()
  await once(client.resume(), 'end')
  await expect.poll(() => proxy.connections).toBe(0)
})

test('large transfers arrive whole', async () => {
  const client = await dial()
  const size = 8 * 1024 * 1024
  client.end(Buffer.alloc(size, 'x'))
  let received = 0
  for await (const chunk of client) received += chunk.length
  expect(received).toBe(size)
})

test('a cut drops every connection and refuses new ones until it is healed', async () => {
  const client = await dial()
  await send(client, 'before')
  const dropped = closed(client)
  proxy.cut()
  expect(await dropped).toBe('ECONNRESET')
  expect(await closed(open())).toBe('ECONNRESET')
  expect(proxy.connections).toBe(0)

  proxy.heal()
  expect(await send(await dial(), 'after')).toBe('after')
})

test('a connection that is just being ended leaves nothing behind when it is cut', async () => {
  const client = await dial()
  await send(client, 'before')
  const { end } = Socket.prototype
  const passedOn = vi.spyOn(Socket.prototype, 'end').mockImplementation(function (this: Socket) {
    Reflect.apply(end, this, [])
    proxy.cut() // while the end is on its way
    return this
  })
  Reflect.apply(end, client, [])
  await vi.waitFor(() => expect(passedOn).toHaveBeenCalled())
  passedOn.mockRestore()
  client.destroy()
  await expect.poll(() => process.getActiveResourcesInfo().filter(kind => kind === 'TCPSocketWrap')).toEqual([])
})

test('a stall keeps connections, forwards nothing, and loses nothing', async () => {
  const client = await dial()
  await send(client, 'before')
  proxy.stall()
  client.write('during')
  const late = await dial()
  late.write('late')
  // Another proxy to the same server is the clock: what it carries afterwards has arrived, the stalled data has not.
  const other = await startTcpProxy({ target: { host: '127.0.0.1', port: (echo.address() as AddressInfo).port } })
  const witness = await dial(other.port)
  for (let round = 0; round < 20; round++) await send(witness, 'tick')
  expect(arrived.filter(text => text !== 'tick')).toEqual(['before'])
  expect(proxy.connections).toBe(2)
  await other.stop()

  const answers = Promise.all([once(client, 'data'), once(late, 'data')])
  proxy.heal()
  expect(String(await answers)).toBe('during,late')
})

test('a cut ends a stall for the connections it drops', async () => {
  const client = await dial()
  proxy.stall()
  const dropped = closed(client)
  proxy.cut()
  expect(await dropped).toBe('ECONNRESET')
})

test('a target that refuses resets the client', async () => {
  const gone = createServer()
  await new Promise<void>(resolve => gone.listen(0, '127.0.0.1', resolve))
  const { port } = gone.address() as AddressInfo
  await new Promise(resolve => gone.close(resolve))
  const toNobody = await startTcpProxy({ target: { host: '127.0.0.1', port } })
  expect(await closed(open(toNobody.port))).toBe('ECONNRESET')
  await toNobody.stop()
})

test('stop drops connections, frees the port and can be repeated', async () => {
  const client = await dial()
  const dropped = closed(client)
  await Promise.all([proxy.stop(), proxy.stop()])
  await dropped
  expect(await closed(open())).toBe('ECONNREFUSED')
})

function open(port = proxy.port): Socket {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  socket.on('error', () => {})
  sockets.push(socket)
  return socket
}

async function dial(port?: number): Promise<Socket> {
  const socket = open(port)
  await once(socket, 'connect')
  return socket
}

async function send(socket: Socket, text: string): Promise<string> {
  const answer = once(socket, 'data')
  socket.write(text)
  return String((await answer)[0])
}

/** The error code with which a socket closes. */
function closed(socket: Socket): Promise<string> {
  return new Promise(resolve => {
    let code = 'closed'
    socket.on('error', (error: NodeJS.ErrnoException) => {
      code = error.code ?? error.message
    })
    socket.on('close', () => resolve(code))
  })
}
