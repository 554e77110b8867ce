// How to read what needs an explanation: sections of the page that are the same for every run.

export const loopLines = [
  '## Whose delay the event loop’s is',
  '',
  '`event-loop` is measured in a process whose loop has nothing else to do. In `c-64` it truly has nothing: another',
  'process, the C program with 64 threads, asks the kernel for the same. What the loop is late there the machine is, with',
  'its processors busy in the kernel, and no library could take it away. What ours has more than `c-64` is ours.',
  '',
]

export const storeLines = [
  '## How to read the layer store',
  '',
  'The peers do what a store asks of the kernel, and keep no records. `c`, `c-async` and `c-64`: create_snap of an',
  'inactive volume, and its activation; remove and delete. `c-commit` raises the pool’s transaction id after each layer,',
  'by which the pool is on its disk, as the store does before it says that a layer is there: so does `c-commit` come',
  'nearest to `prepare`. `containerd` is its own snapshotter for device mapper (bolt for records, a process of `dmsetup`',
  'for each step) in a Go program that is linked with it, without daemon and socket; its removals are those that wait.',
  '',
  '- `prepare-100`: `c` makes 100 one after the other, `c-64` by 64 threads, `containerd` by 100 goroutines.',
  '- `prepare-warm`: taken one at a time from a set of 48 that is full again before the next; `cold` is `prepare` in',
  '  the same process, `burst` all 48 at once, while the set fills up behind them.',
  '- `remove-100` ends when all removals are acknowledged and recorded, `remove-100-gone` when `cleanup()` has resolved.',
  '  For `c`, `c-64` and `containerd` both are the same.',
  '- `import`, `import-large`: `tar` is a process each of mount, GNU tar and umount; ours is `applyLayer`, with a check of',
  '  each name, the digest of the archive, and syncfs. The `-mounted` rows unpack into a mounted layer and wait for no',
  '  disk; `sha256` is the digest of the archive alone, dear where the processor has no instructions for it. `containerd`',
  '  is the unpacking of its own differ, with the digest, in a program whose start does not count. Of the large archive',
  '  there are two samples a round, none of them warm-up.',
  '- `diff`: 200 changes, half of them changed files, a quarter new, a quarter deleted. `c` is one thread that lists both',
  '  mounted trees and asks for each name by fstatat; both must find all of them. The kernel knows all inodes by then.',
  '  The tree is scaled down for the guest: an image’s may have 100 000 files.',
  '- the `10k` rows: 10 000 committed layers in chains of ten. Their volumes are real snapshots, made by as many messages;',
  '  their records are inserted by the store’s own code in one transaction. `better-sqlite3` reads the same from the',
  '  database and does nothing with it; opening also compares the records with the pool’s metadata. `few` is `prepare` in',
  '  a store of fewer than 50 layers.',
  '',
]
