// One run of the virtual machine, from the first process to the last file removed.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheDir, repository } from './cache.mjs'
import { cheaperCalls } from './cheaper-calls.mjs'
import { Guest, GUEST_DIED, TIMED_OUT } from './guest.mjs'
import { guestEnvironment, writeGuestFiles } from './guest-files.mjs'
import { chooseMachine } from './machine.mjs'
import { toolsRoot } from './tools.mjs'

export { GUEST_DIED, TIMED_OUT }

/**
 * @param {{ command: string[], cwd: string, udev?: boolean, keep?: boolean, verbose?: boolean, timeout?: number,
 *   processors?: number, machine?: string, env?: Record<string, string>, cheaper?: boolean,
 *   onOutput?: (chunk: Buffer) => void }} options `cheaper`: makes calls cheaper that are dear in User-Mode Linux, which
 *   benchmarks must not
 * @returns {Promise<{ status: number, accelerator: 'kvm' | 'tcg' | 'uml', overhead: number }>}
 */
export async function runInGuest(options) {
  const { command, cwd, udev = false, keep = false, verbose = false, timeout = 1800, env = {} } = options
  const processors = options.processors ?? Number(process.env.DM_THIN_VM_PROCESSORS ?? 2)
  const say = line => process.stderr.write(`vm: ${line}\n`)
  const started = Date.now()
  const cache = cacheDir()
  const machine = await chooseMachine(say, options.machine)
  const kernel = await machine.ensureKernel(say)
  const accel = await machine.accelerator(kernel, say)
  const folder = mkdtempSync(join(tmpdir(), 'dm-thin-vm-'))
  const guest = new Guest(folder)
  try {
    chmodSync(folder, 0o755)
    const known = { DM_THIN_ACCELERATOR: accel, DM_THIN_SCRATCH_DISK: machine.devices.scratch }
    const guestEnv = guestEnvironment(process.env, { ...env, ...known }, udev)
    writeGuestFiles(folder, {
      machine,
      kernelDir: kernel.dir,
      tools: toolsRoot(),
      preload: options.cheaper && machine.name === 'uml' ? cheaperCalls() : undefined,
      tree: repository,
      udev,
      keep,
      timeout,
      command,
      cwd,
      env: guestEnv,
    })
    await guest.start(machine, { kernel, accelerator: accel, processors, timeout, onOutput: options.onOutput })
    const status = await guest.finished
    const total = Date.now() - started
    const overhead = (total - guest.busy()) / 1000
    if (verbose) {
      const parts = `${machine.name} ${kernel.release}, ${accel}, ready after ${((guest.readyAt - started) / 1000).toFixed(1)} s`
      say(`${parts}, ${(total / 1000).toFixed(1)} s in all, of which ${overhead.toFixed(1)} s are the machine's own`)
    }
    if (status === TIMED_OUT && guest.timedOut) {
      say(`the guest did not end within ${timeout} s and was ended; the end of its console:`)
      say(guest.consoleTail())
    } else if (status === GUEST_DIED && guest.died) {
      say('the guest died; the end of its console:')
      say(guest.consoleTail())
    }
    if (guest.consoleText().includes('ran out of memory on the host side')) {
      say('a process in the guest was ended: it had more mappings than vm.max_map_count allows on this machine')
    }
    return { status, accelerator: accel, overhead }
  } finally {
    await guest.end()
    guest.keepConsole(cache)
    rmSync(folder, { recursive: true, force: true })
  }
}
