// The command dm-thin doctor.
import type { Command } from 'commander'
import { action, subcommand } from './common/call.js'

export function addDoctorCommand(program: Command): void {
  subcommand(
    program,
    'doctor',
    'Report what this machine has for dm-thin, what is missing, and what dead processes left.',
    'dm-thin doctor',
  )
    .option('--fix', 'remove what dead processes of this library left, and nothing else')
    .action(action(async (call, options: { fix?: true }) => (await import('./doctor.js')).doctor(call, options)))
}
