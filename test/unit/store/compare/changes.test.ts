// Two trees on disk, and what `changes` finds between them; a slow walk in JavaScript is the independent check.
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { changes } from '../../../../lib/store/compare/changes'
import { diffTar } from '../../../../lib/store/tar-write/diff-tar'
import { expectCode } from '../../../helpers/errors/expect-code'
import { seeded } from '../../../helpers/random/random'
import { RandomTree } from '../../../helpers/tree/random-tree'
import { run, tryRun } from '../../../helpers/process/spawned'
import { readTar } from '../../../helpers/tree/tar'
import { changesBetween, copyTree, inTree, survey, useTemporary } from '../../../helpers/tree/trees'
import { setExtendedAttribute } from '../../../helpers/tree/xattrs'

const temporary = useTemporary()
const isRoot = process.getuid?.() === 0
const descriptors = () => readdirSync('/proc/self/fd').length

/** As lines, a character for each byte. */
async function lines(lower: string | undefined, upper: string): Promise<string[]> {
  const found = await changes(lower, upper)
  return found.map(({ kind, path, pathBytes }) => `${kind} ${(pathBytes ?? Buffer.from(path)).toString('latin1')}`)
}

/** A tree, and a copy of it: other inodes, so that times of change say nothing. */
function twins() {
  const lower = temporary('lower')
  mkdirSync(`${lower}/etc/deep/er`, { recursive: true })
  writeFileSync(`${lower}/etc/passwd`, 'root')
  writeFileSync(`${lower}/etc/deep/er/file`, 'content')
  symlinkSync('passwd', `${lower}/etc/link`)
  run('mkfifo', [`${lower}/pipe`])
  const upper = temporary('upper')
  copyTree(lower, upper)
  return { lower, upper }
}

test('changes() of two equal trees is empty', async () => {
  const { lower, upper } = twins()
  expect(await lines(lower, upper)).toEqual([])
  expect(await lines(lower, lower)).toEqual([])
})

const CASES: [string, (root: string) => void, string[]][] = [
  ['an added file', root => writeFileSync(`${root}/etc/new`, ''), ['C /etc', 'A /etc/new']],
  ['a deleted file', root => rmSync(`${root}/etc/passwd`), ['C /etc', 'D /etc/passwd']],
  ['the topmost of deleted directories only', root => rmSync(`${root}/etc`, { recursive: true }), ['D /etc']],
  [
    'a file with content of another size',
    root => writeFileSync(`${root}/etc/passwd`, 'root and more'),
    ['C /etc', 'C /etc/passwd'],
  ],
  ['a changed mode', root => chmodSync(`${root}/etc/passwd`, 0o600), ['C /etc', 'C /etc/passwd']],
  ["a directory's mode", root => chmodSync(`${root}/etc/deep`, 0o700), ['C /etc', 'C /etc/deep']],
  ['a changed time of a file', root => utimesSync(`${root}/etc/passwd`, 1, 2), ['C /etc', 'C /etc/passwd']],
  ['no changed time of a directory', root => utimesSync(`${root}/etc/deep`, 1, 2), []],
  [
    'a changed target of a symbolic link',
    root => {
      rmSync(`${root}/etc/link`)
      symlinkSync('passwD', `${root}/etc/link`)
      run('touch', ['-h', '-r', `${root}/etc/passwd`, `${root}/etc/link`])
    },
    ['C /etc', 'C /etc/link'],
  ],
  [
    'an entry deep in the tree, with all its parents',
    root => writeFileSync(`${root}/etc/deep/er/file`, 'other content'),
    ['C /etc', 'C /etc/deep', 'C /etc/deep/er', 'C /etc/deep/er/file'],
  ],
  [
    'a directory that became a file',
    root => {
      rmSync(`${root}/etc/deep`, { recursive: true })
      writeFileSync(`${root}/etc/deep`, '')
    },
    ['C /etc', 'C /etc/deep'],
  ],
  [
    'a file that became a directory, with all its entries as added',
    root => {
      rmSync(`${root}/etc/passwd`)
      mkdirSync(`${root}/etc/passwd/d`, { recursive: true })
    },
    ['C /etc', 'C /etc/passwd', 'A /etc/passwd/d'],
  ],
  ['the root with a changed mode', root => chmodSync(root, 0o711), ['C /']],
  [
    'a changed extended attribute',
    root => setExtendedAttribute(`${root}/etc/passwd`, 'user.note', Buffer.from([0xff, 0])),
    ['C /etc', 'C /etc/passwd'],
  ],
  [
    "a directory's attribute",
    root => setExtendedAttribute(`${root}/etc/deep`, 'user.note', Buffer.from('x')),
    ['C /etc', 'C /etc/deep'],
  ],
  [
    'a moved file as deleted and added',
    root => renameSync(`${root}/etc/deep`, `${root}/moved`),
    ['C /etc', 'D /etc/deep', 'A /moved', 'A /moved/er', 'A /moved/er/file'],
  ],
]

test.each(CASES)('changes() lists %s', async (_what, change, expected) => {
  const { lower, upper } = twins()
  change(upper)
  expect(await lines(lower, upper)).toEqual(expected)
})

test('changes() finds content of the same size and time by reading it', async () => {
  const { lower, upper } = twins()
  writeFileSync(`${upper}/etc/passwd`, 'toor')
  run('touch', ['-r', `${lower}/etc/passwd`, `${upper}/etc/passwd`])
  expect(await lines(lower, upper)).toEqual(['C /etc', 'C /etc/passwd'])
})

test('changes() finds a difference at the end of a large file', async () => {
  const { lower, upper } = twins()
  const content = Buffer.alloc(600_000, 7)
  for (const root of [lower, upper]) writeFileSync(`${root}/large`, content)
  utimesSync(`${lower}/large`, 5, 5)
  utimesSync(`${upper}/large`, 5, 5)
  expect(await lines(lower, upper)).toEqual([])
  content[599_999] = 8
  writeFileSync(`${upper}/large`, content)
  utimesSync(`${upper}/large`, 5, 5)
  expect(await lines(lower, upper)).toEqual(['C /large'])
})

test('changes() takes the same inode in both trees as unchanged, and a second name of it as an added file', async () => {
  const { lower } = twins()
  const upper = temporary('linked')
  run('cp', ['-al', lower, upper])
  expect(await lines(lower, upper)).toEqual([])
  linkSync(`${upper}/etc/passwd`, `${upper}/etc/zz`)
  expect(await lines(lower, upper)).toEqual(['C /etc', 'A /etc/zz'])
})

test('changes() does not list a mode that was changed and restored', async () => {
  const { lower, upper } = twins()
  chmodSync(`${upper}/etc/passwd`, 0)
  chmodSync(`${upper}/etc/passwd`, statSync(`${lower}/etc/passwd`).mode)
  expect(await lines(lower, upper)).toEqual([])
})

test('changes() without a lower tree lists every entry as added, and the root only if it differs from that of mkfs', async () => {
  const { upper } = twins()
  if (isRoot) chownSync(upper, 0, 0)
  chmodSync(upper, 0o755)
  const all = [...survey(upper).keys()].sort().map(key => `A ${key}`)
  expect((await lines(undefined, upper)).filter(line => line !== 'C /')).toEqual(all)
  if (isRoot) expect(await lines(undefined, upper)).toEqual(all)
  chmodSync(upper, 0o700)
  expect(await lines(undefined, upper)).toEqual(['C /', ...all])
})

test('changes() lists names of any bytes in the order of their bytes', async () => {
  const lower = temporary('lower')
  mkdirSync(lower)
  const upper = temporary('upper')
  mkdirSync(upper)
  mkdirSync(`${upper}/a`)
  mkdirSync(`${upper}/a-b`)
  const names = ['a/x', 'a-b/x', 'a.b', 'a0', 'a!', '\xff\xfe', '\xc3\xa9', '\xee\x80\x80', '\xf0\x90\x80\x80']
  for (const name of names) writeFileSync(inTree(upper, `/${name}`), '')
  const found = await changes(lower, upper)
  expect(await lines(lower, upper)).toEqual(['a', 'a-b', ...names].sort().map(name => `A /${name}`))
  expect(found.filter(each => each.pathBytes)).toEqual([
    { kind: 'A', path: '/\ufffd\ufffd', pathBytes: Buffer.from('/\xff\xfe', 'latin1') },
  ])
  expect(found.map(each => each.path)).toContain('/é')
})

test('changes() does not follow symbolic links, neither as entries nor in place of a directory', async () => {
  const { lower, upper } = twins()
  rmSync(`${upper}/etc/deep`, { recursive: true })
  symlinkSync(`${lower}/etc/deep`, `${upper}/etc/deep`)
  symlinkSync('/', `${upper}/slash`)
  expect(await lines(lower, upper)).toEqual(['C /etc', 'C /etc/deep', 'A /slash'])
})

test.each(Array.from({ length: 12 }, (_, index) => index + 1))(
  'changes() of random trees agrees with a comparison in JavaScript (seed %i)',
  async seed => {
    const random = seeded(seed)
    const lower = temporary('lower')
    new RandomTree(random, lower).grow(60)
    const upper = temporary('upper')
    copyTree(lower, upper)
    new RandomTree(random, upper).change(25)
    const expected = changesBetween(survey(lower), survey(upper))
    expect(await lines(lower, upper)).toEqual(expected)
    expect(await lines(upper, upper)).toEqual([])
    expect(expected.length).toBeGreaterThan(5)
  },
)

test('changes() finds the files whose content diff(1) finds different', async () => {
  const random = seeded(99)
  const lower = temporary('lower')
  new RandomTree(random, lower).grow(60)
  const upper = temporary('upper')
  copyTree(lower, upper)
  new RandomTree(random, upper).change(25)
  const found = new Set((await lines(lower, upper)).map(line => line.slice(2)))
  const { stdout } = tryRun('diff', ['-rq', '--no-dereference', lower, upper])
  const differing = [...stdout.matchAll(/^Files (\S+) and \S+ differ$/gm)].map(match =>
    Buffer.from(match[1]!.slice(lower.length)).toString('latin1'),
  )
  for (const key of differing) expect(found).toContain(key)
})

test('changes() compares a tree deeper than PATH_MAX, with few open directories', async () => {
  const [lower, upper] = [temporary('deep'), temporary('deep')]
  // Step by step: the whole path is longer than any call takes.
  const inside = (root: string, script: string) =>
    run(process.execPath, ['-e', `process.chdir(${JSON.stringify(root)}); ${script}`])
  const down = (step: string) => `for (let i = 0; i < 3000; i++) { ${step} process.chdir('dd') }`
  for (const root of [lower, upper]) {
    mkdirSync(root)
    inside(root, `${down("fs.mkdirSync('dd');")} fs.writeFileSync('end', ''); fs.utimesSync('end', 1, 1)`)
  }
  const before = descriptors()
  let most = 0
  const onProgress = () => void (most = Math.max(most, descriptors()))
  const all = await changes(undefined, upper, { onProgress })
  expect(all.filter(each => each.kind === 'A').length).toBe(3001)
  expect(all.at(-1)!.path === `${'/dd'.repeat(3000)}/end`).toBe(true)
  expect((await changes(lower, upper)).length).toBe(0)
  // Something new at the end, and something behind the deep directory at the beginning.
  inside(upper, `fs.writeFileSync('zz', ''); ${down('')} fs.writeFileSync('new', '')`)
  const some = await changes(lower, upper, { onProgress })
  expect(some.length).toBe(3002)
  expect(some[0]).toEqual({ kind: 'C', path: '/dd' })
  expect(some.at(-1)).toEqual({ kind: 'A', path: '/zz' })
  expect(most - before).toBeLessThan(100)
  expect(descriptors()).toBe(before)
  const tar = await buffer(diffTar(lower, upper))
  expect(
    readTar(tar)
      .filter(each => each.type === '0')
      .map(each => each.name.length),
  ).toEqual([9003, 2])
})

test('changes() lists a new deep directory within an old deep directory, and entries after it', async () => {
  const lower = temporary('lower')
  const upper = temporary('upper')
  const old = '/o'.repeat(60)
  mkdirSync(lower + old, { recursive: true })
  copyTree(lower, upper)
  mkdirSync(`${upper}${old}/a${'/n'.repeat(60)}`, { recursive: true })
  writeFileSync(`${upper}${old}/z`, '')
  for (const root of [lower, upper]) mkdirSync(`${root}/z/y`, { recursive: true })
  expect(await lines(lower, upper)).toEqual(changesBetween(survey(lower), survey(upper)))
})

test('changes() reports entries and changes as progress, and rejects with the error of a progress function that throws', async () => {
  const { lower, upper } = twins()
  writeFileSync(`${upper}/etc/new`, '')
  const told: unknown[] = []
  await changes(lower, upper, { onProgress: progress => told.push(progress) })
  expect(told).toEqual([{ entries: 8, changes: 2 }])
  const before = descriptors()
  const angry = () => {
    throw new Error('no more')
  }
  await expect(changes(lower, upper, { onProgress: angry })).rejects.toThrow('no more')
  expect(descriptors()).toBe(before)
})

test('changes() rejects with ABORT_ERR if it is aborted, and closes all files', async () => {
  const { lower, upper } = twins()
  const before = descriptors()
  await expectCode(changes(lower, upper, { signal: AbortSignal.abort() }), 'ABORT_ERR')
  const stop = new AbortController()
  const running = changes(lower, upper, { signal: stop.signal, onProgress: () => stop.abort() })
  stop.abort()
  await expectCode(running, 'ABORT_ERR')
  expect(descriptors()).toBe(before)
})

test('changes() rejects a missing tree, a tree that is not a directory, and invalid arguments', async () => {
  const { lower, upper } = twins()
  await expectCode(changes(lower, `${upper}/none`), 'DM_FILE_MISSING')
  await expectCode(changes(`${lower}/none`, upper), 'DM_FILE_MISSING')
  await expectCode(changes(lower, `${upper}/etc/passwd`), 'DM_INVALID_ARGUMENT')
  await expectCode(changes(undefined, undefined as never), 'DM_INVALID_ARGUMENT')
  await expectCode(changes(lower, upper, { signals: 1 } as never), 'DM_INVALID_ARGUMENT')
})

test('changes() opens all files with close-on-exec, so that child processes inherit none of them', async () => {
  const { lower, upper } = twins()
  // More than one batch holds, so that the walk is in the middle of it.
  for (let i = 0; i < 2000; i++) writeFileSync(`${upper}/${'n'.repeat(200)}${i}`, '')
  const CLOSE_ON_EXEC = 0o2000000
  const inherited = () =>
    readdirSync('/proc/self/fdinfo').filter(fd => {
      const info = tryRead(`/proc/self/fdinfo/${fd}`)
      return info !== undefined && (parseInt(/flags:\s*(\d+)/.exec(info)![1]!, 8) & CLOSE_ON_EXEC) === 0
    })
  const before = inherited()
  const tar = diffTar(lower, upper)
  try {
    await tar[Symbol.asyncIterator]().next()
    expect(inherited()).toEqual(before)
  } finally {
    tar.destroy()
  }
})

function tryRead(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
