// Recovery: the comparison of a store's records with its pool while other calls go on.
import type { ThinPool } from '../../lib/index.js'
import type { StoreContext } from '../../lib/store/context.js'
import { Records } from '../../lib/store/records/records.js'
import { openDatabase } from '../../lib/store/records/sqlite.js'
import { compare } from '../../lib/store/recover.js'

test('a commit point between the two readings is not a pool that is behind its records', async () => {
  const database = await openDatabase(':memory:')
  const records = new Records(database)
  records.found()
  let id = 1n
  const pool = {
    status: async () => {
      const transactionId = id
      records.noteTransaction((id += 1n)) // a removal ends after the kernel has answered
      return { transactionId }
    },
    volumes: async () => [],
  } as unknown as ThinPool
  expect(await compare({ pool, records } as StoreContext, false)).toEqual([])
  database.close()
})
