// Three calls that go wrong, and what their errors know: who holds a device, what the kernel logged, what was undone.
import { open } from 'node:fs/promises'
import path from 'node:path'
import { DmThinError, MiB, ThinPool } from 'dm-thin'
import { inFolder, withPool } from '../scratch.mjs'

async function fault(call: Promise<unknown>): Promise<DmThinError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof DmThinError) return error
  throw new Error('the call should have failed with a DmThinError', { cause: error })
}

await withPool('errors', async pool => {
  const volume = await pool.createVolume({ sizeBytes: 16 * MiB })
  await volume.activate()
  const device = await open(volume.path, 'r')

  const busy = await fault(volume.deactivate({ timeoutMs: 300 }))
  console.log(busy.code, '|', busy.message)
  console.log(
    'held by',
    busy.holders.map(({ kind, pid }) => `${kind} ${pid === process.pid ? 'of ours' : pid}`),
  )

  const aborted = await fault(volume.deactivate({ signal: AbortSignal.timeout(300) }))
  console.log(aborted.code, '|', aborted.name, '| after', aborted.operation)
  await device.close()
})

await inFolder('errors', async folder => {
  const files = {
    data: { file: path.join(folder, 'data.img'), sizeBytes: 64 * MiB },
    metadata: { file: path.join(folder, 'metadata.img'), sizeBytes: 4 * MiB },
  }
  const pool = await ThinPool.create({ name: 'errors', ...files })
  await pool.remove()
  const metadata = await open(files.metadata.file, 'r+')
  await metadata.write(Buffer.alloc(1 * MiB), 0, 1 * MiB, 4096) // everything but the first block
  await metadata.close()

  const refused = await fault(ThinPool.open({ name: 'errors', ...files }))
  console.log(refused.code, '|', refused.operation, '| the kernel says:', refused.kernelReason)
  for (const { operation, errno } of refused.rollback) console.log(errno === 0 ? 'undone:' : 'not undone:', operation)
})
