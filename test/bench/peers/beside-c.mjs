// An idle event loop while a C program with 64 threads has the kernel do the same in another process: what the kernel's
// own work takes from every loop of the machine, whoever asked for it.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { measureEventLoop } from '../event-loop.mjs'
import { Samples, readPlan } from '../plan.mjs'
import { programs } from '../process.mjs'

const run = promisify(execFile)
const { plan } = readPlan(process.argv.slice(2))
const samples = new Samples()
const options = ['pool', 'origin', 'first', 'count', 'threads', 'repeats'].map(key => `${key}=${plan[key]}`)

await measureEventLoop(samples, () => run(programs.c[0], ['wide', ...options]))
samples.print()
