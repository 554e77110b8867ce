// What both kernels must do. The real one is right: where they differ, the memory kernel is changed.
import { CLOCK } from './clock.js'
import { DEVICES } from './devices.js'
import { EVENTS } from './events.js'
import { INVENTORY } from './inventory.js'
import { KEEPERS } from './keepers.js'
import { LOOPS } from './loops.js'
import type { Case, Machine } from './machine.js'
import { MESSAGES } from './messages.js'
import { MODES } from './modes.js'
import { ORIGINS } from './origins.js'
import { POOLS } from './pools.js'
import { RANDOM } from './random.js'
import { RECORDS } from './records.js'
import { SPACE } from './space.js'
import { SUSPEND } from './suspend.js'
import { TABLES } from './tables.js'
import { THINS } from './thins.js'

/** By what they are about. */
export const CONTRACT: Readonly<Record<string, readonly Case[]>> = {
  'mapped devices': DEVICES,
  tables: TABLES,
  'suspend and resume': SUSPEND,
  'loop devices and files': LOOPS,
  'messages to a pool': MESSAGES,
  'the snapshot clock': CLOCK,
  'thin tables': THINS,
  'lists of the devices of a pool': INVENTORY,
  'external origins': ORIGINS,
  'blocks and space': SPACE,
  'random histories': RANDOM,
  modes: MODES,
  events: EVENTS,
  'calls of the pool API on pools': POOLS,
  'records of pools': RECORDS,
  'pools that maintain themselves': KEEPERS,
}

export const size = (): number => Object.values(CONTRACT).flat().length

/** Registers every case as a test, each on a machine of its own. */
export function contract(name: string, makeMachine: () => Machine, after: (machine: Machine) => void = () => {}): void {
  describe(name, () => {
    for (const [about, cases] of Object.entries(CONTRACT)) {
      describe(about, () => {
        test.each(cases.map(each => [each.title, each.run] as const))('%s', async (_, run) => {
          const machine = makeMachine()
          await run(machine)
          after(machine)
        })
      })
    }
  })
}
