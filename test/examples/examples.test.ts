// Every example runs as a user would run it, says what it should, and leaves nothing behind.
// @udev with
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { useScratch } from '../helpers/kernel/scratch.js'
import { run, tryRun } from '../helpers/process/spawned.js'

const root = path.join(__dirname, '../..')
const compiled = path.join(root, 'dist-examples')
const scratch = useScratch()

/** What each prints when it did what it is for. */
const TELLING: Record<string, RegExp> = {
  backup:
    /^5 backups: the first has \d+ KiB, the last has added \d+ KiB\nsnapshots left in the pool: 0\nround 1: ok, 50 rows, the last of round 1\nround 3: ok, 150 rows, the last of round 3\nround 5: ok, 250 rows, the last of round 5\nchunks of the last backup alone are left: true\nround 5: ok, 250 rows, the last of round 5\n$/,
  'changed-blocks': /^monday: 32 blocks copied\ntuesday: 2 blocks copied\nthe backup equals the snapshot: true\n$/,
  'ci-runner':
    /^count: 1000\nsort: line 0999\nvandal: src is gone, here\nbroken: exit 3, no such tool\nlayers left: tree-of-commit-1a2b3c\n$/,
  'database-clone':
    /clone-1: 2000010 cents\nclone-2: 2000020 cents\nclone-3: 2000030 cents\nclone-4: 2000040 cents\nshop-of-monday: 2000000 cents, as before\n$/,
  diagnostics: /id 1 is taken\nactivate: 2, refused 0\nsnapshot: 1, refused 0\ncreateThin: 2, refused 1/,
  'block-device':
    /read: written past the page cache\nafter a discard: nothing\nafter mkfs: ext4\nheld by: mount.*\n.*nobody could write\ntrimmed: true\ngrown by 32 MiB/,
  errors: /held by .*process of ours[\s\S]*ABORT_ERR \| AbortError[\s\S]*the kernel says: \S+/,
  events: /low-water\ngrown to 12 MiB\neverything was written/,
  'first-layers': /^\{ type: 'ext4', source: '\/dev\/dm-\d+', options: \[\] \}\n$/,
  'first-lines': /first-lines-1 \/dev\/dm-\d+ [\s\S]*first-lines-2 \/dev\/dm-\d+ [\s\S]*mappedBytes: 0/,
  'low-level': /events can be polled\nlive as \/dev\/dm-N\n0 2048 zero\n2048 8 error\n1 of its kind/,
  keep: /metadata: from 4 to 64 MiB[\s\S]*everything was written\n32 of 36 MiB used by 1 volume\n[\s\S]*rejected: (512|576|640|704|768) KiB are missing from the reserve of data\n/,
  layers:
    /^one: changed in one\ntwo: hello from the base\nbase: hello from the base; its view has the options ro\none has more of its own than two: true\nnot needed while it is their parent: 0 layers\npruned: base\ntaken down with 2 loop devices\n$/,
  loop: /attached, 8 MiB\nlisted with its file: true\ngrown to 16 MiB\ndetached, 0 left/,
  'many-at-once': /activated 64 of 64\nstatus of 64 volumes; 0 map any data yet\n64 deactivated/,
  mount: /original: written to the original\ncopy: changed in the copy/,
  opentelemetry:
    /^start a sandbox\n  dm-thin readBlocks[^\n]*\n  dm-thin snapshotActive \(opentelemetry-2\)\n  dm-thin deactivate \(opentelemetry-2\)\n  dm-thin targetMessage \(opentelemetry\)\n  dm-thin createThin \(opentelemetry\): errno 17, message "create_thin 1" .* exists\n$/,
  'own-target':
    /stripe: 1,[\s\S]*own-target-second \d+:\d+ unstriped\n└─ own-target-striped \d+:\d+ striped\n   ├─ \/dev\/loop\d+ 7:\d+\n   └─ \/dev\/loop\d+ 7:\d+\n/,
  reopen: /brought back with volumes: 7\nfindings: none\nvolume 7 is active/,
  'sandbox-per-request': /16 of 16 sandboxes started from the golden image\nvolumes left in the pool: 0\n/,
  'snapshot-metadata':
    /^monday: 524288 bytes copied\ntuesday: 131072 bytes copied\nthe backup equals the snapshot: true\n$/,
  testing: /DM_POOL_FULL: told as full\nleft in the pool: 0 volumes\nleft in the kernel: nothing\n/,
}

/** Arguments that make an example shorter. */
const ARGUMENTS: Record<string, readonly string[]> = { backup: ['--rounds', '5', '--every-ms', '0'] }

/** Those that have tests of their own, here, in test/kernel and in test/clients. */
const ELSEWHERE = ['boot-forks', 'containerd-snapshotter', 'how-it-works', 'sandbox-pool', 'walkthrough']

const names = readdirSync(path.join(root, 'examples'), { withFileTypes: true })
  .filter(entry => entry.isDirectory() && !ELSEWHERE.includes(entry.name))
  .map(entry => entry.name)
  .sort()

/** Examples use names of their own, so all devices of the machine are compared, and not the marked ones alone. */
const machine = (): string => run('dmsetup', ['ls']) + run('losetup', ['--list', '--output', 'NAME,BACK-FILE'])

test('this test has an expected output for each example', () => {
  expect(names).toEqual(Object.keys(TELLING).sort())
})

test.each(names)('the example %s prints its expected output and leaves nothing behind', name => {
  const program = path.join(compiled, name, `${name}.mjs`)
  if (!existsSync(program)) throw new Error(`${program} is missing: npm run build:examples`)
  // The damaged metadata of this example is what the kernel is meant to complain of.
  if (name === 'errors') scratch.log.allow(/device-mapper: /)
  if (name === 'diagnostics' || name === 'opentelemetry') scratch.log.allow(/thin: Creation of .* failed/)
  if (name === 'events' || name === 'keep')
    scratch.log.allow(/reached low water mark/, /no free data space/, /out-of-data-space/)
  const folder = scratch.path(name)
  mkdirSync(folder)
  const before = machine()
  const ran = tryRun('env', ['-C', folder, `TMPDIR=${folder}`, process.execPath, program, ...(ARGUMENTS[name] ?? [])])
  expect(ran.stderr).toBe('')
  expect(ran.stdout).toMatch(TELLING[name]!)
  expect(ran.status).toBe(0)
  expect(machine()).toBe(before)
  expect(readdirSync(folder)).toEqual([])
})
