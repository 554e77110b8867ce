// Guests side by side, as many as there are processors and memory for. Each takes files from a queue; when one ends, the next
// queue that has files gets a guest.
import { availableParallelism, freemem } from 'node:os'
import { GUEST_DIED, runInGuest, TIMED_OUT } from '../vm/run.mjs'
import { closeQueue, filesLeft, makeQueue } from './queue.mjs'
import { repository, say } from '../setup/steps.mjs'

const GUEST_MEMORY = 3 * 2 ** 30
const OWN_MEMORY = 2 * 2 ** 30
const USUAL_LIMIT = 2100
/**
 * Each processor has three slots. A guest of User-Mode Linux waits for much of its time: of the 54 s of kernel/pool/repair
 * alone, 11 are processor time, because a suspend takes 20 ms there. Emulated QEMU computes all the time.
 */
const SLOTS_PER_PROCESSOR = 3
const SLOTS = { uml: 1, qemu: SLOTS_PER_PROCESSOR }
/** A guest is not started for what another has done before it is ready, unless it is a long file. */
const FEW_FILES = 1

/**
 * `single`: one guest at a time takes from this queue. `alone`: nothing else runs beside it.
 * `node`: flags of the Node that runs the tests.
 * @typedef {{ title: string, machine: 'uml' | 'qemu', udev: boolean, processors?: number, single?: boolean, alone?: boolean,
 *   limit?: number, files: { project: string, file: string }[], node?: string[], jestEnv?: Record<string, string> }} Part
 */

/**
 * @param {Part[]} parts @param {{ testNamePattern?: string }} settings
 * @returns {Promise<import('./summary.mjs').Part[]>} in the order of the parts
 */
export async function runParts(parts, settings) {
  const runs = parts.filter(({ files }) => files.length > 0).map(part => new Run(part, settings))
  const room = Math.floor((freemem() - OWN_MEMORY) / GUEST_MEMORY)
  const slots = Math.max(SLOTS.qemu, Math.min(availableParallelism() * SLOTS_PER_PROCESSOR, room))
  await besideEachOther(
    runs.filter(({ part }) => !part.alone),
    slots,
  )
  for (const run of runs.filter(({ part }) => part.alone)) while (run.wantsGuest()) await run.guest('')
  return runs.map(run => run.close())
}

/**
 * Starts guests while slots are free, and others when one ends, until no run wants one.
 * @param {Run[]} runs @param {number} slots @returns {Promise<void>}
 */
function besideEachOther(runs, slots) {
  return new Promise((resolve, reject) => {
    /** The numbers of the guests that run. */
    const numbers = new Set()
    let used = 0
    const next = () => runs.find(run => run.wantsGuest() && used + SLOTS[run.part.machine] <= slots)
    const start = run => {
      let number = 1
      while (numbers.has(number)) number++
      numbers.add(number)
      used += SLOTS[run.part.machine]
      const ended = () => {
        numbers.delete(number)
        used -= SLOTS[run.part.machine]
        fill()
      }
      run.guest(`[${number}] `).then(ended, reject)
    }
    const fill = () => {
      for (let run = next(); run !== undefined; run = next()) start(run)
      if (numbers.size === 0) resolve()
    }
    fill()
  })
}

class Run {
  /** @param {Part} part @param {object} settings */
  constructor(part, settings) {
    this.part = part
    this.closed = false
    this.queue = makeQueue(part.title, part.files, settings)
    this.guests = 0
    this.started = 0
    this.ended = 0
    /** @type {string[]} */
    this.notes = []
    this.broken = false
    process.once('exit', () => this.closed || closeQueue(this.queue))
  }

  wantsGuest() {
    const left = filesLeft(this.queue)
    if (this.broken || left === 0) return false
    return this.guests === 0 || (!this.part.single && left > FEW_FILES)
  }

  /** @param {string} label */
  async guest(label) {
    const { title, machine, udev, processors = 1, limit = USUAL_LIMIT, node = [], jestEnv = {} } = this.part
    const before = filesLeft(this.queue)
    this.guests++
    this.started ||= Date.now()
    say(`\n== ${label}${title}`)
    const preset = Object.entries(jestEnv).map(([name, value]) => `${name}=${value}`)
    // Emulated, V8's optimizing compiler costs more than its code saves in a test that runs once: a tenth of the time.
    const flags = [...(machine === 'qemu' ? ['--no-opt'] : []), ...node]
    const program = [process.execPath, ...flags, 'test/tools/runner/guest-runner.mjs']
    const command = [...(preset.length ? ['env', ...preset] : []), ...program]
    const { status } = await inGuest({
      command: [...command, this.queue.folder],
      cwd: repository,
      machine,
      udev,
      processors,
      cheaper: true,
      timeout: Number(process.env.DM_THIN_TEST_TIMEOUT ?? limit),
      env: process.stderr.isTTY ? { FORCE_COLOR: '1' } : {},
      onOutput: labelled(label),
    })
    this.guests--
    this.ended = Date.now()
    if (status === TIMED_OUT) this.notes.push(`a guest did not end within ${limit} s`)
    if (status === GUEST_DIED) this.notes.push('a guest died')
    if (status > 128) this.notes.push(`signal ${status - 128} ended the process that runs the tests of a guest`)
    // A guest that could not even take one file would fail again and again.
    if (status !== 0 && filesLeft(this.queue) === before) this.broken = true
    if (status !== 0) this.status = status
  }

  /** @returns {import('./summary.mjs').Part} */
  close() {
    const { results, lost, untaken } = closeQueue(this.queue)
    this.closed = true
    const notes = [...this.notes, ...lost.map(file => `not ended: ${file}`), ...untaken.map(file => `not run: ${file}`)]
    const seconds = (this.ended - this.started) / 1000
    return { title: this.part.title, report: { testResults: results }, status: this.status ?? 0, notes, seconds }
  }
}

/** A guest that could not start is reported with the results of the others. @param {Parameters<typeof runInGuest>[0]} options */
const inGuest = options =>
  runInGuest(options).catch(error => {
    say(error.stack)
    return { status: GUEST_DIED }
  })

/** Whole lines with a label before them, so that the output of two guests can be told apart. @param {string} label */
function labelled(label) {
  let rest = ''
  return chunk => {
    const lines = (rest + String(chunk)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) process.stderr.write(`${label}${line}\n`)
  }
}
