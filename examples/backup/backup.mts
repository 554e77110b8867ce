// Backups of a database that is in use, one each second: a snapshot of its volume, the changes since the one before, and no
// snapshot that stays. Each backup is restored and checked by the database itself.
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import Database from 'better-sqlite3'
import { MiB, mount, ThinPool, unmount, type ThinVolume } from 'dm-thin'
import { ThinMetadata } from 'dm-thin/metadata'
import { ChunkDirectory, collectGarbage, readBackup, receiveVolume, saveBackup, sendVolume } from 'dm-thin/transfer'
import { inFolder } from '../scratch.mjs'
import { ext4 as format } from '../walkthrough/format.mjs'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '60' }, 'every-ms': { type: 'string', default: '1000' } },
})
const ROUNDS = Number(values.rounds)
const EVERY_MS = Number(values['every-ms'])

/** Opens the database on a volume that is active for as long as `body` runs. */
async function withDatabase<T>(volume: ThinVolume, folder: string, body: (database: Database.Database) => Promise<T>) {
  await mkdir(folder, { recursive: true })
  await mount({ source: volume.path, target: folder, type: 'ext4', noAtime: true })
  try {
    const database = new Database(path.join(folder, 'orders.db'))
    try {
      return await body(database)
    } finally {
      database.close()
    }
  } finally {
    await unmount(folder)
  }
}

function write(database: Database.Database, round: number): void {
  const insert = database.prepare('INSERT INTO orders (round, note) VALUES (?, ?)')
  database.transaction(() => {
    for (let index = 0; index < 50; index += 1) insert.run(round, `order ${index} of round ${round}`)
  })()
}

/** Saves what the volume contains now. Returns the number of bytes that were added to the chunks. */
async function backUp(pool: ThinPool, volume: ThinVolume, chunks: ChunkDirectory, round: number, bookmark: string) {
  const snapshot = await volume.snapshot() // suspends the volume: the file system and the database need no help
  const base = round === 1 ? undefined : `round-${round - 1}`
  const stream = await sendVolume(pool, snapshot, base === undefined ? {} : { from: bookmark })
  const saved = await saveBackup(chunks, `round-${round}`, stream, base === undefined ? {} : { base })
  const metadata = await ThinMetadata.open(pool, { reserve: false })
  await metadata.bookmark(snapshot.id, bookmark).finally(() => metadata.close())
  await snapshot.delete()
  return saved.addedBytes
}

/** Restores a backup as a new volume, and asks the database whether it is whole. */
async function check(pool: ThinPool, chunks: ChunkDirectory, folder: string, round: number): Promise<string> {
  const stream = await readBackup(chunks, `round-${round}`)
  const volume = await receiveVolume(pool, stream, { activate: true })
  try {
    return await withDatabase(volume, path.join(folder, `restored-${round}`), async database => {
      const rows = database.prepare('SELECT count(*), max(round) FROM orders').raw().get() as [number, number]
      return `${String(database.pragma('integrity_check', { simple: true }))}, ${rows[0]} rows, the last of round ${rows[1]}`
    })
  } finally {
    await volume.destroy()
  }
}

await inFolder('backup', async folder => {
  const pool = await ThinPool.create({
    name: 'backup',
    data: { file: path.join(folder, 'data.img'), sizeBytes: 512 * MiB },
    metadata: { file: path.join(folder, 'metadata.img'), sizeBytes: 8 * MiB },
    record: path.join(folder, 'pool.json'),
  })
  try {
    const chunks = await ChunkDirectory.open(path.join(folder, 'chunks'))
    const volume = await (await pool.createVolume({ sizeBytes: 64 * MiB })).activate()
    await format(volume.path)
    const added: number[] = []
    await withDatabase(volume, path.join(folder, 'database'), async database => {
      database.pragma('journal_mode = WAL')
      database.exec('CREATE TABLE orders (id INTEGER PRIMARY KEY, round INTEGER, note TEXT)')
      for (let round = 1; round <= ROUNDS; round += 1) {
        const next = setTimeout(EVERY_MS)
        write(database, round)
        added.push(await backUp(pool, volume, chunks, round, path.join(folder, 'last.bookmark')))
        await next
      }
    })
    const kib = (bytes: number) => Math.round(bytes / 1024)
    console.log(`${ROUNDS} backups: the first has ${kib(added[0]!)} KiB, the last has added ${kib(added.at(-1)!)} KiB`)
    console.log(`snapshots left in the pool: ${(await pool.volumes()).length - 1}`)

    const chosen = [...new Set([1, Math.ceil(ROUNDS / 2), ROUNDS])]
    for (const round of chosen) console.log(`round ${round}: ${await check(pool, chunks, folder, round)}`)

    for (let round = 1; round < ROUNDS; round += 1) await chunks.manifests.delete(`round-${round}`)
    const { deleted } = await collectGarbage(chunks)
    console.log(`chunks of the last backup alone are left: ${deleted > 0}`)
    console.log(`round ${ROUNDS}: ${await check(pool, chunks, folder, ROUNDS)}`)
  } finally {
    await pool.remove({ deactivate: true })
  }
})
