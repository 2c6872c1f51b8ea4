/** What `baton init` writes. */

export const configTemplate = `/**
 * What runs here, and how words become plans. \`baton up\` reads this file again whenever it is saved.
 *
 * @type {import('@baton/shared').BatonConfig}
 */
export default {
  agents: [
    {
      // 1 to 64 lower-case letters, digits, \`_\`, \`.\` or \`-\`.
      name: 'echo',
      description: 'Answers with what it was given.',
      // What it can be asked for. Default: its name.
      capabilities: ['echo'],
      // A program in any language: the input arrives as JSON on stdin, the output is JSON or text on stdout.
      // Other kinds: 'http' (\`url\`) and 'module' (a file whose default export is made by \`defineAgent\`).
      kind: 'command',
      command: ['node', 'echo.mjs'],
      // How many at once in one worker, and how long one may take.
      concurrency: 4,
      sla: '30s',
      // How long a subtask of its may wait for a worker, and take altogether.
      // queue_wait: '5m', deadline: '1h',
      // env: { TOKEN: '…' },
    },
  ],

  // Plans for tasks that come in words: these words mean these subtasks.
  playbooks: [
    {
      name: 'say-twice',
      match: { any: ['say twice'] },
      subtasks: [
        { name: 'first', capability: 'echo', input: { text: '{{task.title}}' } },
        { name: 'second', capability: 'echo', depends_on: ['first'], input: { again: '{{first.outputs.text}}' } },
      ],
    },
  ],

  // A verb that means a capability, where no playbook matches.
  rules: [{ verbs: ['say', 'repeat'], capability: 'echo' }],

  // defaults: { sla: '1h', max_attempts: 3, on_failure: 'review' },
}
`

export const echoTemplate = `// An agent: reads its input as JSON from stdin, writes its output as JSON to stdout. What it writes to stderr is logged,
// and an exit code other than 0 fails the attempt.
let text = ''
for await (const chunk of process.stdin) text += chunk
const input = JSON.parse(text || 'null')

console.log(JSON.stringify(input))
`
