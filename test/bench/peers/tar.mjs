// The peer of unpacking: GNU tar, into a layer of the same kind as ours. `whole` is a process each for mount(8), tar and
// umount(8), after which all is on the pool's disk; `mounted` is tar alone. Beside it the digest of the archive, which we
// take and tar does not: `sha256` is that alone.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { Samples, readPlan } from '../plan.mjs'
import { importing } from './ours-trees.mjs'

const run = promisify(execFile)
const { trial, plan } = readPlan(process.argv.slice(2))
const samples = new Samples()

/** As a layer wants it: owners by number, extended attributes, directories' times last. */
const OPTIONS = ['--extract', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--delay-directory-restore']
const unpack = (archive, target) => run('tar', [...OPTIONS, '--file', archive, '--directory', target])

await importing(plan, {
  whole: ({ layer, archive, target }) =>
    samples.time(trial, async () => {
      const [{ type, source }] = layer.mounts
      await run('mount', ['-t', type, source, target])
      await unpack(archive, target)
      await run('umount', [target])
    }),
  async mounted({ layer, archive, target }) {
    await layer.mount(target)
    await samples.time(`${trial}-mounted`, () => unpack(archive, target))
    await layer.unmount(target)
    const digest = () => pipeline(createReadStream(archive), createHash('sha256'))
    await samples.time(`${trial}-mounted@sha256`, digest)
  },
})
samples.print()
