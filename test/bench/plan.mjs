// The contract between the runner and the programs it compares. Each peer is a program started as
//   PROGRAM TRIAL [key=value …]
// that prints one JSON object, { "metric": [nanoseconds per operation, …] }, and leaves the pool as it found it.
// A metric may be written "metric@label" to be reported under another peer's name.

const defaults = {
  pool: '',
  directory: '',
  backing: '',
  path: '',
  kind: '',
  origin: 0,
  first: 1000,
  count: 1,
  threads: 1,
  repeats: 1,
  sectors: 2097152,
  megabytes: 0,
  files: 0,
  least: 1,
  most: 1,
  pieces: 1,
  piece: 65_536,
}

export function readPlan(argv) {
  const [trial, ...rest] = argv
  const plan = { ...defaults }
  for (const argument of rest) {
    const at = argument.indexOf('=')
    const key = argument.slice(0, at)
    if (at < 1 || !(key in defaults)) throw new Error(`unknown option ${argument}`)
    const value = argument.slice(at + 1)
    plan[key] = typeof defaults[key] === 'number' ? Number(value) : value
  }
  return { trial, plan }
}

export class Samples {
  #metrics = {}

  add(metric, ns) {
    ;(this.#metrics[metric] ??= []).push(Math.round(ns))
  }

  /** Times one call and divides by the number of operations in it. */
  async time(metric, fn, operations = 1) {
    const start = process.hrtime.bigint()
    const value = await fn()
    this.add(metric, Number(process.hrtime.bigint() - start) / operations)
    return value
  }

  /** A clock that several figures are taken from, each by the number of operations. */
  start(operations = 1) {
    const start = process.hrtime.bigint()
    return { add: metric => this.add(metric, Number(process.hrtime.bigint() - start) / operations) }
  }

  /** The same samples under another name too. */
  copy(metric, as) {
    this.#metrics[as] = this.#metrics[metric]
  }

  print() {
    process.stdout.write(JSON.stringify(this.#metrics) + '\n')
  }
}

export function range(count) {
  return Array.from({ length: count }, (_, index) => index)
}

const held = []

/** Makes the process as big as asked: allocated memory is not resident until every page has been written. */
export function holdResident(megabytes) {
  for (let left = megabytes; left > 0; left -= 64) {
    held.push(Buffer.allocUnsafeSlow(Math.min(left, 64) * 2 ** 20).fill(0x5a))
  }
}
