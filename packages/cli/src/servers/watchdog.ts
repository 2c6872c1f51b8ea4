// Ends a server and removes its temporary directory when this process dies, however it dies.
//
// W1  The watchdog is a shell that reads from a pipe whose only writer is this process. The kernel closes the pipe
//     with the process, also after SIGKILL, and that is the watchdog's cue.
// W2  It lives in a session of its own: what ends a whole process group (Ctrl-C) does not end the watchdog.
// W3  It knows a pid just as long as that process runs, so it never kills a stranger that inherited the number.

import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'

export interface Watchdog {
  /** From now on the process dies with this one. */
  watch(pid: number): void
  /** The process is gone. */
  forget(): void
  /** There is nothing left to clean up. */
  dismiss(): void
}

// A container without an init leaves the dead server as a zombie; `alive` does not wait for that one.
// $1 the signal that ends the server quickly, $2 the directory to remove or an empty string.
const script = `
trap '' HUP INT TERM
pid=
alive() {
  kill -0 "$pid" || return 1
  case $(cat "/proc/$pid/stat") in *') Z '*) return 1 ;; esac
}
while read -r word value; do
  case $word in
    watch) pid=$value ;;
    forget) pid= ;;
    dismiss) exit 0 ;;
  esac
done
if [ -n "$pid" ]; then
  kill -s CONT "$pid"
  kill -s "$1" "$pid"
  tries=0
  while alive && [ $tries -lt 80 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  kill -s KILL "$pid"
  kill -s KILL -- "-$pid"
fi
[ -n "$2" ] || exit 0
for try in 1 2 3 4 5; do
  rm -rf -- "$2" && exit 0
  sleep 0.2
done
`

/** Starts a watchdog. It does not keep this process alive. */
export function startWatchdog(options: {
  endWith: 'QUIT' | 'KILL'
  /** Removed after the server; undefined when the data is to be kept. */
  directory: string | undefined
}): Watchdog {
  const child = spawn('sh', ['-c', script, 'baton-watchdog', options.endWith, options.directory ?? ''], {
    cwd: '/',
    detached: true, // W2
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  child.unref()
  // A shell that cannot start costs the safety net, not the server.
  child.on('error', () => {})
  child.stdin.on('error', () => {})
  ;(child.stdin as Socket).unref() // a pipe of a child process is a Socket; its type just says Writable
  return {
    watch: pid => void child.stdin.write(`watch ${pid}\n`),
    forget: () => void child.stdin.write('forget\n'),
    dismiss: () => void child.stdin.end('dismiss\n'),
  }
}
