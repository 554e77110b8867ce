// One call at the head of a kernel test file: a scratch directory, marked names, and after every test the proof that
// nothing is left in the kernel and that the kernel did not complain.
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { KernelLog } from './kernel-log.js'
import { checkFindings } from '../metadata/check.js'
import { MARK, snapshotKernelState, sweep } from './kernel-state.js'
import { run } from '../process/spawned.js'

export interface Scratch {
  /** Absolute path of a file in the scratch directory. */
  path(name: string): string
  /** A marked name that nothing else has. */
  name(label: string): string
  readonly log: KernelLog
}

let counter = 0

/** A marked name that nothing else on the machine has. */
export const markedName = (label: string): string => `${MARK}${label}-${process.pid}-${++counter}`

/**
 * Registers the hooks. Without root and device mapper the tests fail, and say what is missing: the tests run in the
 * guest, where both are, and a skipped test proves nothing.
 */
export function useScratch(): Scratch {
  const root = realpathSync(tmpdir())
  const log = new KernelLog()
  let directory = ''
  beforeAll(async () => {
    if (process.getuid?.() !== 0) throw new Error('the kernel tests need root')
    if (!existsSync('/dev/mapper/control'))
      throw new Error('the kernel tests need device mapper: run them in the guest')
    await cleanUp(root)
    directory = mkdtempSync(path.join(root, MARK))
  })
  beforeEach(() => log.start())
  afterEach(async () => {
    let left = await snapshotKernelState()
    // udev may be looking into a device that its owner has let go: it goes when udev closes it.
    if (left !== '' && process.env['DM_THIN_UDEV'] === '1') {
      run('udevadm', ['settle'])
      left = await snapshotKernelState()
    }
    const complaints = log.complaints()
    const kernelLog = left === '' && complaints.length === 0 ? [] : log.excerpt()
    if (left !== '') await sweep()
    expect({ left, complaints, kernelLog }).toEqual({ left: '', complaints: [], kernelLog: [] })
  })
  afterAll(async () => {
    const findings = await checkFindings()
    log.close()
    await cleanUp(root)
    expect(findings).toEqual([])
  })
  return { path: name => path.join(directory, name), name: markedName, log }
}

/** Also what a killed run left behind. */
async function cleanUp(root: string): Promise<void> {
  await sweep()
  for (const name of readdirSync(root)) {
    if (name.startsWith(MARK)) rmSync(path.join(root, name), { recursive: true, force: true })
  }
}
