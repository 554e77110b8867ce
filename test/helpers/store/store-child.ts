// A process that works on a layer store, as built, and is killed in the middle: at a step of the store's own, or at any
// moment. What it was told to be done it says at once, and whoever looks afterwards holds the store to that.
import { spawn } from 'node:child_process'
import path from 'node:path'
import type { OpenStoreOptions } from '../../../lib/entry/store.js'
import { makeImage } from './oci-image.js'
import type { Scratch } from '../kernel/scratch.js'

const repository = path.join(__dirname, '../../..')
const LIMIT_MS = 240_000

/** What the child was promised, by its own words. */
export interface Promised {
  /** Keys that were acknowledged as made, and not yet asked to be removed, committed or changed. */
  readonly keys: ReadonlySet<string>
  /** Keys of which nothing may be left: their removal was acknowledged. */
  readonly gone: ReadonlySet<string>
  /** To how many bytes of data the pool was grown at the least; 0 where that was not acknowledged. */
  readonly grownBytes: number
  /** Every step of the store that it came to, in order. */
  readonly steps: readonly string[]
  /** For each step what the child was at: `make`, `import` … With one call at a time: the call. */
  readonly calls: readonly string[]
  /** How many lines say `operation`. */
  readonly operations: number
  /** How it ended: `SIGKILL`, or `end` where it did all its work. */
  readonly ending: string
}

/** What a child does. `wide`: so many at once. Default: a round of the plain calls, one at a time. */
export interface Work {
  readonly wide?: number
  /** Instead of the plain round: a commit of a layer that is in use, a growth, a warm set, an import of this archive. */
  readonly image?: string
}

export interface Kill {
  /** At this step of the store … */
  readonly step?: string
  /** … the how manyth time. Default 1. */
  readonly nth?: number
  /** Or after so many steps of any kind, however long they take on this machine … */
  readonly afterSteps?: number
  /** … and then so long, which is in the middle of one or of several. */
  readonly afterMs?: number
}

/**
 * One round of work under names that begin with `prefix`: a root layer, committed; a child and a view of it, a larger
 * one, a passing mount; removals; several of these at once where `wide` is more than 1.
 */
const work = (options: OpenStoreOptions, prefix: string, { step, nth = 1 }: Kill, { wide = 1, image }: Work) => `
  const { writeSync, writeFileSync } = require('node:fs')
  const { subscribe } = require('node:diagnostics_channel')
  const say = line => writeSync(1, line + '\\n')
  let left = ${nth}
  subscribe('dm-thin:store', ({ step }) => {
    say('step ' + step)
    if (step === ${JSON.stringify(step ?? '')} && --left === 0) process.kill(process.pid, 'SIGKILL')
  })
  const { LayerStore } = require(${JSON.stringify(path.join(repository, 'dist/entry/store.js'))})
  const options = ${JSON.stringify(options)}
  const fill = (store, key) => store.withMounted(key, async folder => writeFileSync(folder + '/content', key.repeat(5000)))
  const doing = async (store, verb, key, call) => {
    say('doing ' + verb + ' ' + key)
    await call
    say('done ' + verb + ' ' + key)
  }
  const round = async (store, name) => {
    const layer = name + '-layer'
    await doing(store, 'make', name, store.prepare(name, ''))
    await fill(store, name)
    await doing(store, 'commit', name + ' ' + layer, store.commit(layer, name))
    await doing(store, 'make', name + '-child', store.prepare(name + '-child', layer))
    await doing(store, 'make', name + '-view', store.view(name + '-view', layer))
    await doing(store, 'make', name + '-large', store.prepare(name + '-large', layer, { sizeBytes: options.sizeBytes * 2 }))
    await store.withMounted(layer, async () => {})
    await store.warm(layer, 1)
    await doing(store, 'make', name + '-warm', store.prepare(name + '-warm', layer))
    await doing(store, 'remove', name + '-view', store.remove(name + '-view'))
    await doing(store, 'remove', name + '-large', store.remove(name + '-large'))
    await store.update(name + '-child', { setLabels: { a: 'b' } })
    await store.cleanup()
  }
  const more = async (store, name) => {
    const [layer, used] = [name + '-layer', name + '-used']
    await doing(store, 'make', name, store.prepare(name, ''))
    await fill(store, name)
    await doing(store, 'commit', name + ' ' + layer, store.commit(layer, name))
    await store.prepare(used, '')
    await store.withMounted(used, async folder => {
      writeFileSync(folder + '/content', name.repeat(5000))
      await doing(store, 'commit', used + ' ' + used + '-layer', store.commit(used + '-layer', used))
    })
    const { pool } = await store.status()
    const sizes = { dataBytes: pool.data.totalBytes + 2 ** 20, metadataBytes: pool.metadata.totalBytes + 2 ** 20 }
    say('doing grow') // its first step is before the promise
    // Another of these has grown it further meanwhile.
    const grown = store.grow(sizes).catch(fault => { if (fault.code !== 'DM_INVALID_ARGUMENT') throw fault })
    await doing(store, 'grow', String(sizes.dataBytes), grown)
    say('doing warm')
    await doing(store, 'warm', layer, store.warm(layer, 2))
    await doing(store, 'make', name + '-warm', store.prepare(name + '-warm', layer))
    say('doing import')
    const { top } = await store.importImage(${JSON.stringify(image)})
    say('done make ' + top)
    await doing(store, 'remove', name + '-warm', store.remove(name + '-warm'))
    await store.cleanup()
  }
  const run = async () => {
    say('begun')
    const store = await LayerStore.open(options)
    const each = ${image === undefined ? 'round' : 'more'}
    await Promise.all(Array.from({ length: ${wide} }, (_, index) => each(store, ${JSON.stringify(prefix)} + index)))
    await store.close()
    say('end')
  }
  run().catch(fault => { say('fault ' + (fault.stack ?? fault)); process.exit(1) })`

/** Lets a child work until it is killed, or has come to its end. */
export const killedWork = (options: OpenStoreOptions, prefix: string, kill: Kill, done: Work = {}): Promise<Promised> =>
  untilKilled(['-e', work(options, prefix, kill, done)], kill)

/** Runs node until it is killed, as `afterSteps` and `afterMs` say, or has come to its end. */
export function untilKilled(words: readonly string[], kill: Kill): Promise<Promised> {
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  const limit = setTimeout(() => child.kill('SIGABRT'), LIMIT_MS)
  let timer: NodeJS.Timeout | undefined
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    if (kill.afterSteps === undefined || text.split('\nstep ').length <= kill.afterSteps) return
    timer ??= setTimeout(() => child.kill('SIGKILL'), kill.afterMs)
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(limit)
      clearTimeout(timer)
      if (signal === 'SIGKILL' || (code === 0 && /^end$/m.test(text))) resolve(promisedBy(text, signal ?? 'end'))
      else reject(new Error(`the child ended with ${signal ?? code}:\n${text}`))
    })
  })
}

/** A child makes a layer and dies while it has it mounted. */
export async function killedWhileMounted(options: OpenStoreOptions, key: string): Promise<void> {
  const source = `
    const { LayerStore } = require(${JSON.stringify(path.join(repository, 'dist/entry/store.js'))})
    const run = async () => {
      const store = await LayerStore.open(${JSON.stringify(options)})
      await store.prepare(${JSON.stringify(key)}, '')
      await store.withMounted(${JSON.stringify(key)}, async () => process.kill(process.pid, 'SIGKILL'))
    }
    run()`
  const child = spawn(process.execPath, ['-e', source], { stdio: 'inherit' })
  const signal = await new Promise((resolve, reject) => child.on('error', reject).on('close', (_, by) => resolve(by)))
  if (signal !== 'SIGKILL') throw new Error(`the child ended with ${String(signal)}`)
}

function promisedBy(text: string, ending: string): Promised {
  const keys = new Set<string>()
  const gone = new Set<string>()
  const steps: string[] = []
  const calls: string[] = []
  let [call, grownBytes, operations] = ['', 0, 0]
  for (const line of text.split('\n')) {
    const [word = '', verb = '', key = '', name = ''] = line.split(' ')
    if (word === 'step') {
      steps.push(verb)
      calls.push(call)
    }
    if (word === 'operation') operations += 1
    if (word === 'doing') call = verb
    // Of what is asked for nothing is promised: neither that it is still there nor that it is not.
    if (word === 'doing' && (verb === 'remove' || verb === 'commit')) keys.delete(key)
    if (word !== 'done') continue
    if (verb === 'make') keys.add(key)
    if (verb === 'remove') gone.add(key)
    if (verb === 'grow') grownBytes = Math.max(grownBytes, Number(key))
    if (verb === 'commit') {
      gone.add(key)
      keys.add(name)
    }
  }
  return { keys, gone, grownBytes, operations, steps, calls, ending }
}

/** What several of them were promised, one beside or after the other. */
export const together = (each: readonly Promised[]): Promised => ({
  keys: new Set(each.flatMap(({ keys }) => [...keys])),
  gone: new Set(each.flatMap(({ gone }) => [...gone])),
  grownBytes: Math.max(...each.map(({ grownBytes }) => grownBytes)),
  operations: each.reduce((sum, { operations }) => sum + operations, 0),
  steps: each.flatMap(({ steps }) => steps),
  calls: each.flatMap(({ calls }) => calls),
  ending: each.map(({ ending }) => ending).join(' '),
})

/** What the file `content` of a layer must hold; one of `image` has that. */
export const contentOf = (key: string): string =>
  key.startsWith('sha256:') ? IMAGE_CONTENT : key.replace(/-.*/, '').repeat(5000)

const IMAGE_CONTENT = 'image'.repeat(50_000)

/** An image of two layers, for children to import. */
export function imageToImport(scratch: Scratch): string {
  const archive = scratch.path('image.tar')
  const layers = [{ content: 'below' }, { content: IMAGE_CONTENT }]
  makeImage({ folder: scratch.path('making'), name: 'a:1', busybox: '/bin/true', layers, archive })
  return archive
}
