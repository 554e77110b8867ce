// The snapshot clock of a store's pool that does not run.
import { open } from 'node:fs/promises'
import { setTime } from '../../contract/at-rest.js'

const files = {
  read: async (file: string, offset: number, length: number) => {
    const handle = await open(file)
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, offset)
    await handle.close()
    return buffer
  },
  write: async (file: string, offset: number, content: Uint8Array) => {
    const handle = await open(file, 'r+')
    await handle.write(content, 0, content.length, offset)
    await handle.sync()
    await handle.close()
  },
}

/** Sets the number of snapshots that the pool has made, in its metadata. */
export async function setSnapshots(metadataFile: string, snapshots: number): Promise<void> {
  const metadata = { file: metadataFile }
  await setTime(files, { name: '', data: metadata, metadata }, snapshots)
}
