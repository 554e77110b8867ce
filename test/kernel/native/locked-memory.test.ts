// While an origin is suspended, no page of the code that resumes it may have to come from a disk: it could lie on that
// origin.
import { readFileSync } from 'node:fs'
import { MiB } from '../../../lib/entry/index.js'
import { withPool } from '../../helpers/pool/pools.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

useScratch()

/** The flags of each mapping of a file in this process, by proc_pid_smaps(5). */
function flagsOf(file: RegExp): string[][] {
  const mappings = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
  const ours = mappings.filter(each => file.test(each.split('\n')[0]!))
  return ours.map(each => (/^VmFlags: (.*)$/m.exec(each)?.[1] ?? '').trim().split(' '))
}

test('the code of the library and of libc is locked in memory after a snapshot of an active origin', () =>
  withPool(async pool => {
    const origin = await (await pool.createVolume({ sizeBytes: MiB })).activate()
    await origin.snapshot()
    // Not that of the build with fault hooks, which another file may have loaded into this process.
    for (const file of [/^(?!.*\/build-fault\/).*dm[-_]thin[^/]*\.node$/, /\/libc[.-][^/]*$/]) {
      const mappings = flagsOf(file).filter(flags => flags.includes('ex'))
      expect([file, mappings.length > 0]).toEqual([file, true])
      for (const flags of mappings) expect([file, flags]).toEqual([file, expect.arrayContaining(['lo'])])
    }
  }))
