// A process that does one round of calls on a store, and waits before and after each until its parent lets it go on: so
// that the parent knows at any moment what the other process was promised.
import { spawn } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'

export type Verb = 'make' | 'commit' | 'remove'
/** `doing` before a call is made, `done` when it was acknowledged. */
export type Told = (state: 'doing' | 'done', verb: Verb, key: string) => void

const ENTRY = path.join(__dirname, '../../../dist/entry/store.js')

const source = (directory: string, name: string, content: string) => `
  const { readSync, writeFileSync, writeSync } = require('node:fs')
  const { LayerStore } = require(${JSON.stringify(ENTRY)})
  const say = line => {
    writeSync(1, line + '\\n')
    readSync(0, Buffer.alloc(1))
  }
  const doing = async (verb, key, call) => {
    say('doing ' + verb + ' ' + key)
    await call()
    say('done ' + verb + ' ' + key)
  }
  const run = async () => {
    const store = await LayerStore.open({ directory: ${JSON.stringify(directory)} })
    const name = ${JSON.stringify(name)}
    const layer = name + '-layer'
    await doing('make', name, () => store.prepare(name, ''))
    await store.withMounted(name, async folder => writeFileSync(folder + '/content', ${JSON.stringify(content)}))
    await doing('commit', name, () => store.commit(layer, name))
    await doing('make', name + '-view', () => store.view(name + '-view', layer))
    await doing('remove', name + '-view', () => store.remove(name + '-view'))
    await store.close()
  }
  run()`

/** Runs the child to its end; rejects if it fails. */
export async function askedChild(directory: string, name: string, content: string, told: Told): Promise<void> {
  const child = spawn(process.execPath, ['-e', source(directory, name, content)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
  for await (const line of createInterface(child.stdout)) {
    const [state, verb, key] = line.split(' ') as [Parameters<Told>[0], Verb, string]
    told(state, verb, key)
    child.stdin.write('.')
  }
  const code = await ended
  if (code !== 0) throw new Error(`the child ended with ${code}`)
}
