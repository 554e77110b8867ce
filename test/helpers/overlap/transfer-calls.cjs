// The calls that two processes make at the same time on a snapshot that is sent. None of them may be rejected because of the
// other.
'use strict'

const { createHash } = require('node:crypto')

module.exports = ({ sendVolume }) => {
  /** Reads a stream to its end. Returns the digest of its bytes. */
  const digest = async stream => {
    const hash = createHash('sha256')
    for await (const piece of stream) hash.update(piece)
    return hash.digest('hex')
  }
  const TRANSFER = {
    send: { codes: [], run: async ({ pool, snapshot }) => digest(await sendVolume(pool, snapshot)) },
    /** The end of a stream that the scene has begun. */
    end: { codes: [], run: ({ stream }) => digest(stream) },
  }

  /** `begins`: begins a stream, for which the snapshot is active. Ends the one of the last scene. */
  async function scene(next, last) {
    last?.stream?.destroy()
    if (!next) return undefined
    const { ThinPool } = require('../../../dist/entry/index.js')
    const pool = last?.pool ?? (await ThinPool.open({ name: next.name }))
    const snapshot = last?.snapshot ?? (await pool.volume(next.id, { sizeBytes: next.sizeBytes }))
    return { pool, snapshot, stream: next.begins ? await sendVolume(pool, snapshot) : undefined }
  }

  return { groups: { TRANSFER }, scene }
}
