// A layer store as a snapshotter of containerd, in a program of your own. The command line does the same: dm-thin snapshotter.
import { startSnapshotter } from 'dm-thin/snapshotter'

const [address = '/run/dm-thin/snapshotter.sock', directory = '/var/lib/dm-thin'] = process.argv.slice(2)
const snapshotter = await startSnapshotter({ address, store: { directory } })
console.log(`listening on ${snapshotter.address}`)
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void snapshotter.stop())
