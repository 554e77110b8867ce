// The parser of the command line. Only the modules of the command that is called are loaded, because loading all takes longer
// than most commands.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { Command, CommanderError } from 'commander'
import { EXIT } from './common/exit-codes.js'

/** Loads the modules of each command, in the order of the help. */
const COMMANDS: Readonly<Record<string, () => Promise<(program: Command) => void>>> = {
  pool: async () => (await import('./pool.js')).addPoolCommands,
  volume: async () => (await import('./volume.js')).addVolumeCommands,
  backup: async () => (await import('./backup.js')).addBackupCommands,
  layer: async () => (await import('./layer.js')).addLayerCommands,
  snapshotter: async () => (await import('./snapshotter.js')).addSnapshotterCommand,
  'snapshot-metadata': async () => (await import('./snapshot-metadata.js')).addSnapshotMetadataCommand,
  doctor: async () => (await import('./doctor.js')).addDoctorCommand,
}

const EXIT_CODES = `
Example:
  dm-thin pool ls

Exit codes: 0 done, 1 done and something is left to do, 2 wrong call, 3 not found, 4 exists already, 5 the state does not
permit it, 6 no space, 7 the machine lacks something, 8 damaged or not as recorded, 9 input refused, 10 other error,
130 interrupted.`

/** Creates the parser, with the command of this name. Default: with all commands, as if no command has this name. */
export async function makeProgram(name?: string): Promise<Command> {
  const program = new Command('dm-thin')
    .description('Thin pools, thin volumes, snapshots and image layers of this machine.')
    .version(version())
    .exitOverride()
    .showHelpAfterError('(add --help for the options and an example)')
    .addHelpText('after', EXIT_CODES)
  const named = name !== undefined && Object.hasOwn(COMMANDS, name) ? [COMMANDS[name]!] : Object.values(COMMANDS)
  for (const load of named) (await load())(program)
  return program
}

/** Runs the command that the arguments name. Sets the exit code of the process. */
export async function run(args: readonly string[]): Promise<void> {
  try {
    const program = await makeProgram(args[0])
    await program.parseAsync(args, { from: 'user' })
  } catch (fault) {
    if (!(fault instanceof CommanderError)) throw fault
    process.exitCode = fault.exitCode === 0 ? EXIT.ok : EXIT.usage // commander has printed why
  }
}

function version(): string {
  const text = readFileSync(path.join(__dirname, '../../package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
