// Jobs of a build at once, each in a work tree of its own: the tree is prepared once, and no job sees what another does.
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import type { LayerStore } from 'dm-thin/store'
import { withStore } from '../scratch.mjs'

const TREE = 'tree-of-commit-1a2b3c'
const JOBS = {
  count: 'wc -l < src/lines.txt > result.txt',
  sort: 'sort -r src/lines.txt > sorted.txt && head -n 1 sorted.txt > result.txt',
  vandal: 'rm -r src && echo "src is gone, here" > result.txt',
  broken: 'echo "no such tool" >&2; exit 3',
}

interface Outcome {
  readonly status: number
  readonly text: string
}

/** What every job needs: checked out, unpacked and installed once. */
async function prepareTree(folder: string): Promise<void> {
  await mkdir(path.join(folder, 'src'))
  const lines = Array.from({ length: 1000 }, (_, index) => `line ${String(index).padStart(4, '0')}\n`)
  await writeFile(path.join(folder, 'src', 'lines.txt'), lines.join(''))
}

async function runJob(store: LayerStore, name: string, script: string): Promise<Outcome> {
  const { key } = await store.prepare(`job-${name}`, TREE)
  try {
    return await store.withMounted(key, async cwd => {
      try {
        await promisify(execFile)('sh', ['-c', script], { cwd, timeout: 60_000 })
        return { status: 0, text: (await readFile(path.join(cwd, 'result.txt'), 'utf8')).trim() }
      } catch (fault) {
        const { code, stderr } = fault as { code?: unknown; stderr?: string }
        if (typeof code !== 'number') throw fault // not the job's own end
        return { status: code, text: stderr?.trim() ?? '' }
      }
    })
  } finally {
    await store.remove(key)
  }
}

await withStore('ci-runner', async store => {
  await store.prepare('preparing')
  await store.withMounted('preparing', prepareTree)
  await store.commit(TREE, 'preparing')

  const results = await Promise.all(
    Object.entries(JOBS).map(async ([name, script]) => ({ name, ...(await runJob(store, name, script)) })),
  )
  for (const { name, status, text } of results) console.log(`${name}: ${status === 0 ? '' : `exit ${status}, `}${text}`)

  const keys: string[] = []
  for await (const { key } of store.walk()) keys.push(key)
  console.log(`layers left: ${keys.join()}`)
})
