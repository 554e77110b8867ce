// A layer store as a snapshotter of containerd:
//
//   npm start -- --address /run/dm-thin/snapshotter.sock --root /var/lib/dm-thin [--pool-name NAME]
//     [--pool-data DEVICE --pool-metadata DEVICE] [--pool NAME[=DATA,METADATA]]… [--fs ext4|xfs] [--size 10GiB]
import path from 'node:path'
import { parseArgs } from 'node:util'
import { parsePool, Pools } from './pools.mjs'
import { listen } from './server.mjs'
import { snapshotsService } from './service.mjs'
import { parseSize } from './size.mjs'

const text = { type: 'string' } as const
const { values: given } = parseArgs({
  options: {
    address: { ...text, default: '/run/dm-thin/snapshotter.sock' },
    root: { ...text, default: '/var/lib/dm-thin' },
    'pool-name': text,
    'pool-data': text,
    'pool-metadata': text,
    pool: { ...text, multiple: true, default: [] },
    fs: { ...text, default: 'ext4' },
    size: { ...text, default: '10GiB' },
  },
})

function fail(message: string): never {
  console.error(message)
  process.exit(2)
}

const fileSystem = given.fs === 'ext4' || given.fs === 'xfs' ? given.fs : fail(`--fs ${given.fs}: ext4 or xfs`)
const sizeBytes = parseSize(given.size) ?? fail(`--size ${given.size}: 10GiB, 512MiB or bytes`)
const { 'pool-name': name, 'pool-data': data, 'pool-metadata': metadata } = given
if ((data === undefined) !== (metadata === undefined)) fail('--pool-data and --pool-metadata go together')

const badPool = (each: string): never => fail(`--pool ${each}: NAME or NAME=DATA,METADATA, and not default`)
const more = new Map(given.pool.map(each => parsePool(each) ?? badPool(each)))

const main = {
  directory: path.resolve(given.root),
  pool: {
    ...(name !== undefined && { name }),
    ...(data !== undefined && { data }),
    ...(metadata !== undefined && { metadata }),
  },
  fileSystem,
  sizeBytes,
} as const
const pools = await Pools.open(main, more)
const address = path.resolve(given.address)
const listening = await listen(address, snapshotsService(pools)).catch(async (error: unknown) => {
  await pools.close()
  throw error
})
console.log(`listening on ${address}`)

// Containers go on: their devices and mounts are the kernel's, and the next server finds them.
let ending = false
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (ending) return
    ending = true
    void listening
      .stop()
      .then(() => pools.close())
      .then(
        () => process.exit(0),
        (error: unknown) => {
          console.error(error)
          process.exit(1)
        },
      )
  })
}
