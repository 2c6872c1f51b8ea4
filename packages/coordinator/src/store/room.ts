/** What the dispatcher saw of each route: which queue it resolves to, and how many more jobs that queue may take. */
export interface RouteRoom {
  readonly route_id: number
  readonly queue: string
  readonly room: number
}

export type Room = readonly RouteRoom[]
