/** How much room the dispatcher saw in each queue, as a statement is told. */
import type { Dice } from '../command.js'
import { type Rooms, type RouteName, routeNames } from '../fleet.js'

export function chooseRooms(dice: Dice, most = 2): Rooms {
  return Object.fromEntries(
    routeNames.flatMap((route): [RouteName, number][] => {
      const room = dice.roll(most + 1)
      return room > 0 ? [[route, room]] : []
    }),
  )
}

export function showRooms(rooms: Rooms): string {
  const shown = Object.entries(rooms).map(([route, room]) => `${route} ${room}`)
  return shown.length > 0 ? `, room: ${shown.join(' ')}` : ''
}
