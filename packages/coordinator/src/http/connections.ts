/** The open sockets of the server and how many requests each has in flight, so that stopping waits for those only. */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'

export class Connections {
  private readonly inFlight = new Map<Socket, number>()
  private closing = false

  constructor(server: Server) {
    server.on('connection', socket => {
      this.inFlight.set(socket, 0)
      socket.once('close', () => this.inFlight.delete(socket))
    })
    server.on('request', ({ socket }, response) => {
      this.change(socket, +1)
      response.once('close', () => this.change(socket, -1))
    })
  }

  /** Closes what has no request in flight, now and from now on. */
  closeIdle(): void {
    this.closing = true
    for (const [socket, requests] of this.inFlight) if (requests === 0) socket.destroy()
  }

  destroyAll(): void {
    for (const socket of this.inFlight.keys()) socket.destroy()
  }

  private change(socket: Socket, by: number): void {
    const requests = this.inFlight.get(socket)
    if (requests === undefined) return
    this.inFlight.set(socket, requests + by)
    if (this.closing && requests + by === 0) socket.destroySoon()
  }
}
