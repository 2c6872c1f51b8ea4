/** Which commands there are and what they take. Each is loaded when it is called, so that `--help` stays quick. */
import { deliveryStates, keyScopes, reviewDecisions } from '@baton/shared'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { type ExitCode, exitCodeOfError, exitCodes } from './exit-codes.js'
import { Interrupted, type Io } from './io.js'
import { errorLines } from './output/errors.js'
import { version } from './version.js'

/** Here, so that `--help` names them without loading the command. */
const webhookVerbs = ['list', 'add', 'remove', 'enable', 'disable', 'rotate', 'deliveries', 'replay']

/** Runs one command line, without `node` and the script. Never throws. */
export async function run(argv: readonly string[], io: Io): Promise<ExitCode> {
  let exitCode: ExitCode = exitCodes.done
  const program = programOf(io, code => {
    exitCode = code
  })
  try {
    await program.parseAsync([...argv], { from: 'user' })
    return exitCode
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage // it has said what is wrong
    if (error instanceof Interrupted) return exitCodes.interrupted
    for (const line of errorLines(error)) io.stderr.write(`${line}\n`)
    return exitCodeOfError(error)
  }
}

function programOf(io: Io, end: (code: ExitCode) => void): Command {
  const program = new Command('baton')
    .description('Orchestrates fleets of agents.')
    .version(version, '-v, --version', 'print the version')
    .helpOption('-h, --help', 'say how it is used')
    .helpCommand('help [command]', 'say how a command is used')
    .showSuggestionAfterError()
    .showHelpAfterError('(`baton --help` says how it is used)')
    .exitOverride()
    .configureOutput({ writeOut: text => void io.stdout.write(text), writeErr: text => void io.stderr.write(text) })

  const command = (usage: string, says: string) => program.command(usage).description(says)
  const remote = (usage: string, says: string) =>
    command(usage, says).option('--url <url>', 'where the coordinator answers (default: BATON_URL)').option('--json', 'print JSON')
  const configured = (usage: string, says: string) =>
    command(usage, says).option('--config <file>', 'configuration file (default: looked for upward)')

  command('init [dir]', 'write a commented baton.config.ts and one agent')
    .option('--force', 'overwrite what is there')
    .action(async (dir, options) => end(await (await import('./commands/init.js')).init(dir, options, io)))
  configured('up', 'run the coordinator, and in local mode the configured agents')
    .option('--data <dir>', 'where local mode keeps its data; `memory` keeps none (default: BATON_DATA_DIR)')
    .option('--host <address>', 'address to listen on (default: BATON_HOST)')
    .option('--port <number>', 'port to listen on, 0 for a free one (default: BATON_PORT)')
    .option('--json', 'print one line of JSON when ready')
    .action(async options => end(await (await import('./commands/up.js')).up(options, io)))
  configured('worker', 'run the configured agents as a worker of a fleet (REDIS_URL, NATS_URL)')
    .option('--agents <module>', 'a module that exports `agents`, instead of a configuration')
    .option('--json', 'print one line of JSON when ready')
    .action(async options => end(await (await import('./commands/worker.js')).worker(options, io)))
  remote('submit <file>', 'hand in a task; `-` reads it from stdin')
    .option('--execute', 'start it and follow it')
    .option('--dry-run', 'plan it without storing it')
    .action(async (file, options) => end(await (await import('./commands/submit.js')).submit(file, options, io)))
  remote('execute <task>', 'start or resume a task')
    .option('--follow', 'follow it until it ends or needs somebody')
    .option('--manual', 'let every ready subtask wait for its release')
    .option('--auto', 'let a task go on by itself that was started with --manual')
    .action(async (task, options) => end(await (await import('./commands/execute.js')).execute(task, options, io)))
  remote('status [task]', 'show a task, or the recent ones')
    .option('--watch', 'follow it until it ends or needs somebody')
    .option('--status <statuses>', 'of the recent ones, those in these statuses (a,b)')
    .option('--limit <number>', 'how many recent ones', wholeNumber, 20)
    .action(async (task, options) => end(await (await import('./commands/status.js')).status(task, options, io)))
  remote('events [task]', 'follow what happens to a task until it ends, or everything from now on')
    .option('--names <names>', 'only these events: names, or beginnings such as task.* (a,b)')
    .option('--after <id>', 'behind this event')
    .action(async (task, options) => end(await (await import('./commands/events.js')).events(task, options, io)))
  remote('webhooks [verb] [target] [delivery]', `send events to URLs: ${webhookVerbs.join(', ')}`)
    .option('--events <names>', 'add: names, or beginnings such as task.* (a,b)')
    .option('--description <text>', 'add: what it is for')
    .option('--overlap <duration>', 'rotate: how long the secret of before signs too (default: 24h)')
    .option('--state <state>', `deliveries, replay: ${deliveryStates.join(', ')}`)
    .option('--since <when>', 'replay: of events since then: a date-time, or a duration such as 2h before now')
    .option('--limit <number>', 'list, deliveries: how many', wholeNumber)
    .action(async (verb, target, delivery, options) =>
      end(await (await import('./commands/webhooks.js')).webhooks(verb, target, delivery, options, io)),
    )
  remote('keys [verb] [target]', 'API keys: list, create NAME, revoke ID')
    .option('--scope <scope>', `create: ${keyScopes.join(', ')}`)
    .option('--revoked', 'list: revoked ones too')
    .option('--limit <number>', 'list: how many', wholeNumber)
    .action(async (verb, target, options) => end(await (await import('./commands/keys.js')).keys(verb, target, options, io)))
  remote('cancel <task> [subtask]', 'cancel a task, or one subtask of it with what depends on it: abort what runs, start nothing else')
    .option('--reason <text>', 'why; it stands in the history of the task')
    .action(async (task, subtask, options) => end(await (await import('./commands/subtasks.js')).cancel(task, subtask, options, io)))
  for (const [verb, says] of [
    ['pause', 'pause a task, an orchestrator or everything: let what runs finish, start nothing else'],
    ['resume', 'let a paused task or orchestrator, or everything, go on'],
  ] as const)
    remote(`${verb} [task]`, says)
      .option('--orchestrator <id>', 'all tasks of this orchestrator, instead of one task')
      .option('--all', 'everything, instead of one task')
      .option('--reason <text>', 'why; it stands in the history')
      .action(async (task, options) => end(await (await import('./commands/control.js')).pauseOrResume(verb, task, options, io)))
  remote('orchestrators', 'list the orchestrators').action(async options =>
    end(await (await import('./commands/orchestrators.js')).orchestrators(options, io)),
  )
  remote('release <task> <subtask>', 'let a subtask start that manual execution or a checkpoint holds back').action(
    async (task, subtask, options) => end(await (await import('./commands/subtasks.js')).release(task, subtask, options, io)),
  )
  remote('retry <task> <subtask>', 'grant a subtask one more attempt, or start now one that waits for its backoff or a worker')
    .option('--reason <text>', 'why; it stands with the decision')
    .action(async (task, subtask, options) => end(await (await import('./commands/subtasks.js')).retry(task, subtask, options, io)))
  remote('reassign <task> <subtask> <agent>', 'give an unfinished subtask to this agent')
    .option('--reason <text>', 'why; it stands with the decision')
    .action(async (task, subtask, agent, options) =>
      end(await (await import('./commands/subtasks.js')).reassign(task, subtask, agent, options, io)),
    )
  remote('rerun <task> <subtasks...>', 'run subtasks again, and what was opened downstream of them')
    .option('--input <file>', 'another input for the one subtask, as JSON; `-` reads it from stdin')
    .option('--reason <text>', 'why; it stands in the history of the task')
    .action(async (task, subtasks, options) => end(await (await import('./commands/subtasks.js')).rerun(task, subtasks, options, io)))
  remote('replan <task>', 'plan what is not finished of a task anew, and show what that changes')
    .option('--plan <file>', 'the new plan: a list of subtasks, or a task with them, as JSON; `-` reads it from stdin')
    .option('--description <text>', 'words for the new plan; `-` reads them from stdin (default: those of the task)')
    .option('--cancel-running', 'cancel what runs, instead of keeping it')
    .option('--approval', 'let a person approve the change before it applies')
    .option('--reason <text>', 'why; it stands in the history of the task')
    .option('--dry-run', 'only show the change')
    .action(async (task, options) => end(await (await import('./commands/replan.js')).replan(task, options, io)))
  remote('why <task>', 'say what a task and each of its waiting subtasks wait for').action(async (task, options) =>
    end(await (await import('./commands/why.js')).why(task, options, io)),
  )
  remote('reviews', 'list what waits for a person')
    .option('--task <task>', 'of this task only')
    .option('--all', 'decided and closed ones too')
    .action(async options => end(await (await import('./commands/reviews.js')).reviews(options, io)))
  remote('review <id>', 'show what is to be decided').action(async (id, options) =>
    end(await (await import('./commands/reviews.js')).review(id, options, io)),
  )
  remote('assign <id> [assignee]', 'say who is to decide a review; without a name, nobody any more')
    .option('--due <when>', 'until when: a date-time such as 2026-12-01T12:00:00Z, or a duration such as 4h from now')
    .option('--escalate-to <name>', 'who gets it when it is still open then')
    .action(async (id, assignee, options) => end(await (await import('./commands/reviews.js')).assign(id, assignee, options, io)))
  remote('decide <id> <decision>', `decide a review: ${reviewDecisions.join(', ')}`)
    .requiredOption('--reason <text>', 'why; it stands with the decision')
    .option('--output <file>', 'for supply: the output as JSON; `-` reads it from stdin')
    .option('--agent <name>', 'for reassign: the agent that gets it')
    .option('--digest <digest>', 'of an approval, as `baton review` showed it: another one by now is not decided')
    .action(async (id, decision, options) => end(await (await import('./commands/reviews.js')).decide(id, decision, options, io)))
  remote('drain <worker>', 'ask a worker to finish what it has, and to end').action(async (worker, options) =>
    end(await (await import('./commands/workers.js')).drain(worker, options, io)),
  )
  remote('agents', 'list the agents')
    .option('--domain <domain>', 'of this domain only')
    .option('--capability <name>', 'those that offer it')
    .addOption(new Option('--health <health>', 'those that are').choices(['healthy', 'degraded', 'offline']))
    .action(async options => end(await (await import('./commands/agents.js')).agents(options, io)))
  remote('match [capability]', 'say which agent a subtask would go to now, and how all are placed')
    .option('--agent <name>', 'as if it were pinned to this agent')
    .option('--requires <names...>', 'further capabilities that its agent must have')
    .option('--sla <duration>', 'how long an attempt may take, such as 90s')
    .action(async (capability, options) => end(await (await import('./commands/agents.js')).match(capability, options, io)))
  remote('workers', 'list the workers').action(async options => end(await (await import('./commands/workers.js')).workers(options, io)))
  remote('doctor', 'say what is wrong here, and what to do about it')
    .option('--config <file>', 'configuration file (default: looked for upward)')
    .action(async options => end(await (await import('./commands/doctor.js')).doctor(options, io)))
  configured('fleet', 'run private servers, one coordinator and several workers as processes')
    .option('--workers <number>', 'how many workers', wholeNumber, 3)
    .option('--json', 'print one line of JSON when ready')
    .action(async options => end(await (await import('./commands/fleet.js')).fleet(options, io)))
  command('demo [dir]', 'audit a repository with a fleet of agents')
    .option('--fleet', 'with private servers and three worker processes')
    .option('--out <dir>', 'where the report goes (default: baton-report)')
    .option('--json', 'print the summary as JSON')
    .allowExcessArguments() // `npm run demo -- DIR -- --fleet` hands over a `--`
    .action(async (_dir, options, demo: Command) => end(await (await import('./commands/demo.js')).demo(demo.args, options, io)))
  program
    .command('config')
    .description('about the configuration file')
    .command('schema')
    .description('print its JSON Schema')
    .action(async () => end(await (await import('./commands/config-schema.js')).configSchemaCommand(io)))
  return program
}

function wholeNumber(text: string): number {
  if (!/^\d{1,6}$/.test(text) || Number(text) === 0) throw new InvalidArgumentError('It must be a whole number above 0.')
  return Number(text)
}
