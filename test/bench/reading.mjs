// Sections of the page that are the same for every run.

export const peerLines = [
  'Peers: `c` is a C program that calls ioctls with one thread, `c-64` the same with 64 threads. `c-async` hands each call',
  'to a second thread and sleeps in epoll until it is done, which is the minimum cost for a caller that may not block.',
  '`libdevmapper` is the same C program with that library instead of ioctls, without udev cookies and nodes, and with one',
  'thread, because the library allows no more. `dmsetup` is one process of it for each step, started from Node with',
  '`execFile`, and `dmsetup-all` one process for all volumes.',
]

export const kernelLines = [
  '## Why concurrent calls are faster',
  '',
  'Activating and removing a thin volume each wait for a grace period of the kernel. These waits overlap, so 64 of them take',
  'little longer than one: `activateMany` and `deactivateMany` use this. The kernel processes the messages of a pool one at',
  'a time, whoever sends them.',
  '',
  '## How the events and the long list are measured',
  '',
  '`event-latency`: a C program renames a device, which raises an event, and records the time just before. The listener is',
  'another process and records the time at which it knows the device: here in the `change` callback of `watchDevices`, in',
  '`c` after poll, DM_DEV_ARM_POLL and DM_LIST_DEVICES, in `c-async` after the thread that did so has woken another. Both',
  'use CLOCK_MONOTONIC, and both sides sleep for 20 ms before each event. `pool.events()` also reads the status, which is',
  'two more calls.',
  '',
  '`list-10k`: 10 000 devices without tables, with uuids, exist during all rounds. `listDevices()` returns an object for',
  'each; `c` returns pointers into the kernel’s reply. Each list is checked outside the timing: every device once, with its',
  'own uuid; and a prefix filter returns its devices and no other.',
  '',
]

export const memoryLines = [
  '## How memory is measured',
  '',
  '`memory-volume` and `memory-call`: by how much the memory has grown while the objects or the calls exist, divided by their',
  'number, in a new process after a garbage collection. Ours is the heap of JavaScript and what is attached to it. `resident`',
  'is the memory of the whole process, which includes native requests and the stacks of threads; it grows by whole pages of',
  'the heap, so that it can be less. The calls wait because another process has the lock of the pool: 96 of them on threads,',
  'the others in the queue.',
  '',
]

export const loopLines = [
  '## Interpreting the event-loop delay',
  '',
  '`event-loop` is measured in a process whose event loop is otherwise idle. In `c-64` the loop has no work at all: another',
  'process, the C program with 64 threads, makes the same calls. Its delay comes from the machine, whose processors are',
  'busy in the kernel, and a library cannot avoid it. The difference between ours and `c-64` is the library’s own.',
  '',
]

export const storeLines = [
  '## How the layer store is measured',
  '',
  'The peers make the kernel calls of a store and keep no records. `c`, `c-async` and `c-64` call create_snap for an',
  'inactive volume and activate the snapshot, or remove and delete it. `c-commit` also sets the pool’s transaction id after',
  'each layer, which commits the pool to disk, as the store does before it acknowledges a layer. `c-commit` is therefore',
  'the closest peer of `prepare`. `containerd` is containerd’s own snapshotter for the device mapper (bolt for records, one',
  '`dmsetup` process for each step), linked into a Go program without daemon and socket, with synchronous removals.',
  '',
  '- `prepare-100`: `c` makes 100 one after the other, `c-64` with 64 threads, `containerd` with 100 goroutines.',
  '- `remove-100` ends when all removals are acknowledged and recorded, `remove-100-gone` when `cleanup()` has resolved.',
  '  For `c`, `c-64` and `containerd` both are the same.',
  '- `import`, `import-large`: `tar` is one process each of mount, GNU tar and umount. Ours is `applyLayer` of the path, including a',
  '  check of each name, the digest of the archive, and syncfs. The `-mounted` rows unpack into a mounted layer and do not',
  '  wait for the disk. `sha256` is only the digest of the archive, which is expensive on processors without SHA extensions.',
  '  `containerd` is its own differ, including the digest, without the start of the program. The large archive has two',
  '  samples in each round, and none of them is warm-up.',
  '- `diff`: 200 changes: half changed files, a quarter new, a quarter deleted. `c` is one thread that lists both mounted',
  '  trees and calls fstatat for each name. Both must find all changes. The kernel has cached all inodes. The tree is',
  '  scaled down for the guest: an image may have 100 000 files.',
  '- The `10k` rows: 10 000 committed layers in chains of ten. Their volumes are real snapshots, made by one message each.',
  '  Their records are inserted by the store’s own code in one transaction. `better-sqlite3` reads the same records from',
  '  the database; opening the store also compares them with the pool’s metadata. `few` is `prepare` in a store of fewer',
  '  than 50 layers.',
  '',
]

export const metadataLines = [
  '## How the reader of metadata is measured',
  '',
  'A file has the metadata of a volume of 1 TiB with a mapping for each of 16.8 million blocks, of two snapshots of it, and of',
  'a second volume that shares nothing with it; `thin_restore` and the benchmark make it. Times include opening the file',
  'and all iterations in JavaScript. `thin_delta` and `thin_dump` are one process for each comparison, whose output is',
  'discarded. `dd` reads as many bytes by direct reads of 1 MiB, one after the other, and looks at none of them. All read',
  'past the page cache. `differ` is the number of nodes that the two trees do not share, counted when they are made.',
  '',
  'The bookmarks are those of the writer and the reader behind `bookmark` and `changedSince`, which need a running pool.',
  '',
  '`node test/bench/metadata.mjs` measures these rows alone, without device mapper and root. On the machine below the virtual ones,',
  'with the file on a disk, in three rounds: the first difference of `delta-sequential` after 1.9 ms, `delta-random` 4.5 × as fast as',
  'thin_delta, and `delta-full` 1.7 × (557 ms; dd reads as much in 453 ms). In User-Mode Linux, the first difference waits for ten',
  'native calls and 49 reads, one after the other.',
  '',
]

export const transferLines = [
  '## How send and receive are measured',
  '',
  'A volume of 256 MiB of random bytes. `send` discards the stream; `receive` takes it from memory, and ends when the volume',
  'is committed and recorded. The peers read the same volume, or write a new one, by direct I/O of 1 MiB, and compute nothing:',
  '`dd` has one read or write in progress, `dd-8` is eight processes of it side by side, and `fio` has eight in progress, as a',
  'stream has (`libaio`). The start of the processes counts for `dd`; for `fio` it does not: the time is the one that fio reports.',
  '`sha256` is the digest of as many bytes alone, eight chunks at a time, which a stream needs on both sides. Debian has no',
  'package of thin-send-recv, which is therefore not measured.',
  '',
]

export const repeatLines = [
  '## Repeat the benchmark',
  '',
  '```sh',
  'npm run bench                               # all rows, five rounds',
  'npm run bench -- --only message,activate    # some of them',
  'npm run bench -- --only fork-               # the rows whose names begin so',
  'npm run bench -- --quick --only fork-       # a fifth of the forks, to try it',
  'npm run bench -- --vm uml,qemu              # in both kinds of virtual machine, one after the other',
  'npm run bench -- --json FILE --rounds 9     # the figures as JSON',
  'npm run bench -- --compare A.json B.json    # two of those files, row by row',
  'npm run bench -- --store tmp                # the records of layer stores in memory, and not on a disk',
  'npm run bench -- --page                     # adds the rows to this page and its pictures',
  '```',
  '',
  'With the device mapper and root, it measures on the machine itself, with a temporary pool. Otherwise it measures the',
  'inexpensive ioctl on the host and the rest in the virtual machine.',
  '',
]
