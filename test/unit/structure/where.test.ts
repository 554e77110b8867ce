// The answers to "Find the place" of CONTRIBUTING: the file that one would open first for each change.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const root = path.join(__dirname, '../../..')

/** By the number in the list: the end of the file's path. */
const ANSWERS: readonly string[] = [
  'base/errors.ts',
  'kernel/errors/translate.ts',
  'target/messages.ts',
  'target/known.ts',
  'tar-read/entry-reader.ts',
  'tar-write/entry-writer.ts',
  'records/schema.ts',
  'pool/lifecycle/pool-options.ts',
  'pool/lifecycle/crash-recovery.ts',
  'pool/pool-events.ts',
  'filesystem/superblocks.ts',
  'target/thin-pool.ts',
  'layers/prune.ts',
  'cli/doctor.ts',
  'trace/dmsetup-command.ts',
  'filesystem/mount.ts',
  'recovery/verify.ts',
  'log_record.cc',
  'activation_guard.cc',
  'loop_attach.cc',
  'grpc/statuses.ts',
  'open/close-store.ts',
  'target/thin-pool.ts',
  'kernel/udev.ts',
  'kernel/errors/translate.ts',
  'transfer/chunk-digest.ts',
  'spares/spares.ts',
  'pool/state/record.ts',
  'bookmark/format.ts',
]

const files = ['lib', 'native'].flatMap(folder =>
  (readdirSync(path.join(root, folder), { recursive: true }) as string[]).map(name => `/${folder}/${name}`),
)

test('each change of the list has one file, and that file exists', () => {
  const page = readFileSync(path.join(root, 'CONTRIBUTING.md'), 'utf8')
  const section = /^## Find the place\n([\s\S]*?)^## /m.exec(page)![1]!
  const changes = [...section.matchAll(/^\d+\. (.*)$/gm)].map(match => match[1]!)
  expect(changes).toHaveLength(29)
  const places = (answer: string) => files.filter(file => file.endsWith(`/${answer}`) && !file.includes('/test/'))
  expect(ANSWERS.map(answer => [answer, places(answer).length])).toEqual(ANSWERS.map(answer => [answer, 1]))
  expect(ANSWERS).toHaveLength(changes.length)
})
