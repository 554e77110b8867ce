// The parser of the command line. An action imports what it needs of the library when it runs, because loading the library
// takes longer than most commands: no module of the command line imports a value of it at the top, except from lib/base.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { Command, CommanderError } from 'commander'
import { addBackupCommands } from './backup.js'
import { EXIT } from './common/exit-codes.js'
import { addDoctorCommand } from './doctor-command.js'
import { addLayerCommands } from './layer.js'
import { addPoolCommands } from './pool.js'
import { addSnapshotMetadataCommand } from './snapshot-metadata.js'
import { addSnapshotterCommand } from './snapshotter.js'
import { addVolumeCommands } from './volume.js'

/** The functions that add the commands, in the order of the help. */
const COMMANDS: readonly ((program: Command) => void)[] = [
  addPoolCommands,
  addVolumeCommands,
  addBackupCommands,
  addLayerCommands,
  addSnapshotterCommand,
  addSnapshotMetadataCommand,
  addDoctorCommand,
]

const EXIT_CODES = `
Example:
  dm-thin pool ls

Exit codes: 0 done, 1 done and something is left to do, 2 wrong call, 3 not found, 4 exists already, 5 the state does not
permit it, 6 no space, 7 the machine lacks something, 8 damaged or not as recorded, 9 input refused, 10 other error,
130 interrupted.`

/** Creates the parser of all commands. */
export function makeProgram(): Command {
  const program = new Command('dm-thin')
    .description('Thin pools, thin volumes, snapshots and image layers of this machine.')
    .version(version())
    .exitOverride()
    .showHelpAfterError('(add --help for the options and an example)')
    .addHelpText('after', EXIT_CODES)
  for (const add of COMMANDS) add(program)
  return program
}

/** Runs the command that the arguments name. Sets the exit code of the process. */
export async function run(args: readonly string[]): Promise<void> {
  try {
    await makeProgram().parseAsync(args, { from: 'user' })
  } catch (fault) {
    if (!(fault instanceof CommanderError)) throw fault
    process.exitCode = fault.exitCode === 0 ? EXIT.ok : EXIT.usage // commander has printed why
  }
}

function version(): string {
  const text = readFileSync(path.join(__dirname, '../../package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
