// A server of snapshot metadata in this process, and a client of it.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { serveSnapshotMetadata, type SnapshotMetadataOptions } from '../../../lib/entry/snapshot-metadata.js'
import { CsiClient } from './client.js'

export interface Scene {
  readonly client: CsiClient
  readonly address: string
  /** Errors that the server has reported: no client caused them. */
  readonly reported: unknown[]
  /** Stops the server, which may be stopped already. */
  readonly stop: () => Promise<void>
}

/** Serves while `body` runs. The errors that the server reports fail the test, unless `body` takes them. */
export async function serving<T>(
  options: Omit<SnapshotMetadataOptions, 'address' | 'onError'>,
  body: (scene: Scene) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(path.join(tmpdir(), 'dm-thin-csi-'))
  const reported: unknown[] = []
  try {
    const address = path.join(folder, 'csi.sock')
    const server = await serveSnapshotMetadata({
      ...options,
      address,
      onError: (text, error) => void reported.push(text, error),
    })
    const client = new CsiClient(address)
    try {
      const result = await body({ client, address, reported, stop: () => server.stop() })
      expect(reported).toEqual([])
      return result
    } finally {
      client.close()
      await server.stop()
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
