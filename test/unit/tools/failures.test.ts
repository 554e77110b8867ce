// What can go wrong while the tests' machine is set up or runs, and what is said and left then.
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { ask } from '../../helpers/process/ask.js'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'dm-thin-failures-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** Programs of that name are found first. */
function programs(scripts: Record<string, string>): { PATH: string } {
  const bin = path.join(folder, 'bin')
  mkdirSync(bin, { recursive: true })
  for (const [name, script] of Object.entries(scripts)) {
    writeFileSync(path.join(bin, name), `#!/bin/sh\n${script}\n`)
    chmodSync(path.join(bin, name), 0o755)
  }
  return { PATH: `${bin}:${process.env['PATH']}` }
}

describe('a download', () => {
  const GOOD = {
    'apt-get': 'echo whole >package.deb',
    'dpkg-deb': 'mkdir -p "$3/usr/bin" && cp "$2" "$3/usr/bin/program"',
  }
  const unpack = (env: Record<string, string>) =>
    ask(
      'vm/apt.mjs',
      `await m.unpackPackages(['package'], ${JSON.stringify(path.join(folder, 'to'))}); return 'done'`,
      env,
    )

  test('leaves no result if it is interrupted, and the next download is complete', () => {
    const killed = programs({ ...GOOD, 'apt-get': 'echo ha >package.deb; kill -KILL $PPID' })
    expect(() => unpack(killed)).toThrow()
    expect(existsSync(path.join(folder, 'to'))).toBe(false)
    const left = readdirSync(folder).filter(name => name.startsWith('.unpack-'))
    expect(left).toHaveLength(1)
    // What it has left goes with the next one, if nobody can be at it any more.
    utimesSync(path.join(folder, left[0]!), new Date(0), new Date(0))
    expect(unpack(programs(GOOD))).toBe('done')
    expect(readdirSync(path.join(folder, 'to/usr/bin'))).toEqual(['program'])
    expect(readdirSync(folder).sort()).toEqual(['bin', 'to'])
  })

  test('reports the failed command with its error message if the registry does not answer', () => {
    const silent = programs({ ...GOOD, 'apt-get': 'echo "E: Failed to fetch, could not connect" >&2; exit 100' })
    const { error } = unpack(silent) as { error: string }
    expect(error).toMatch(/^apt-get .* failed: E: Failed to fetch, could not connect$/)
    expect(readdirSync(folder).sort()).toEqual(['bin'])
  })
})

describe('the kernel of User-Mode Linux', () => {
  /** What is fetched from an archive with 6.12 in stable and `testing` in testing, whose image does `run`. */
  function fetched({ testing = '7.2um1', run = 'exit 0', update = 'exit 0' }): unknown {
    const isTesting = 'case "$*" in *apt-testing*) true;; *) false;; esac'
    const env = programs({
      'apt-cache': `if ${isTesting}; then echo "  Candidate: ${testing}"; else echo "  Candidate: 6.12um1"; fi`,
      'apt-get': `
        case "$1" in
          indextargets) echo "Debian Packages http://deb.example/debian/ /keys.pgp";;
          update) ${update};;
          download) if ${isTesting}; then echo 7.2 >package.deb; else echo 6.12 >package.deb; fi;;
        esac`,
      'dpkg-deb': `
        mkdir -p "$3/usr/bin" "$3/usr/lib/uml/modules/$(cat "$2")"
        { echo '#!/bin/sh'; if [ $(cat "$2") = 7.2 ]; then echo '${run}'; fi; } >"$3/usr/bin/linux.uml"
        chmod +x "$3/usr/bin/linux.uml"`,
    })
    const body = `
      const said = []
      const { release } = await m.ensureKernel('uml', line => said.push(line))
      return { release, said: said.filter(line => !/downloading/.test(line)) }`
    return ask('vm/kernel.mjs', body, { ...env, DM_THIN_CACHE: folder })
  }

  test('is that of Debian testing if the tests were run on it', () => {
    expect(fetched({})).toEqual({ release: '7.2', said: [] })
  })

  test('is that of the machine’s suite if testing has a version that the tests were not run on', () => {
    const said = [expect.stringMatching(/were not run on User-Mode Linux 7\.9um1 of Debian testing/)]
    expect(fetched({ testing: '7.9um1' })).toEqual({ release: '6.12', said })
  })

  test('is that of the machine’s suite if that of testing does not run or cannot be downloaded', () => {
    const said = [expect.stringMatching(/^kernel: Debian testing's cannot be used: .*image --version failed: no GLIBC/)]
    expect(fetched({ run: 'echo no GLIBC >&2; exit 1' })).toEqual({ release: '6.12', said })
    rmSync(path.join(folder, 'uml'), { recursive: true })
    const asked = [
      expect.stringMatching(/^kernel: Debian testing's cannot be used: apt-get update .* failed: no network/),
    ]
    expect(fetched({ update: 'echo no network >&2; exit 100' })).toEqual({ release: '6.12', said: asked })
  })
})

describe('two commands in one work tree', () => {
  const withLock = (name: string, body: string) =>
    `import { withLock } from ${JSON.stringify(path.join(__dirname, '../../tools/setup/stamps.mjs'))}
     await withLock(${JSON.stringify(name)}, async () => { ${body} })`
  const start = (source: string) => spawn(process.execPath, ['--input-type=module', '-e', source])
  const name = `test-${process.pid}`
  const heard = (child: ReturnType<typeof start>, text: string) =>
    new Promise<void>(done => {
      let all = ''
      for (const stream of [child.stdout, child.stderr])
        stream.on('data', chunk => (all += String(chunk)).includes(text) && done())
    })
  const ended = (child: ReturnType<typeof start>) => new Promise(done => child.once('close', done))

  test('run a step one after the other: the second reports that it waits, and continues when the first ends', async () => {
    const first = start(
      withLock(name, `console.log('in'); await new Promise(done => process.stdin.once('data', done))`),
    )
    await heard(first, 'in')
    const second = start(withLock(name, `console.log('in too')`))
    await heard(second, 'another command is setting up this work tree')
    const done = heard(second, 'in too')
    first.stdin.end('go')
    await Promise.all([done, ended(first), ended(second)])
  })

  test('do not block each other: a step whose command was killed can be run by the next command', async () => {
    const first = start(withLock(name, `console.log('in'); setInterval(() => {}, 1000)`))
    await heard(first, 'in')
    first.kill('SIGKILL')
    await ended(first)
    const source = withLock(name, `console.log('in too')`)
    expect(execFileSync(process.execPath, ['--input-type=module', '-e', source], { encoding: 'utf8' })).toBe('in too\n')
  })
})

describe('a guest', () => {
  const HANGS_S = 1

  /** Runs a guest that is a shell script, whose descriptors are those of a machine; gives its status and console. */
  const guest = (script: string, timeout: number) =>
    ask(
      'vm/guest.mjs',
      `const { spawn } = await import('node:child_process')
       const { fstatSync, mkdtempSync } = await import('node:fs')
       const { PassThrough } = await import('node:stream')
       const { childrenOf } = await import(${JSON.stringify(path.join(__dirname, '../../tools/vm/children.mjs'))})
       const machine = { async start({ console: log }) {
         const children = childrenOf()
         const main = spawn('sh', ['-c', ${JSON.stringify(script)}], { stdio: ['ignore', log, 'pipe'], detached: true })
         children.add(main, { group: true })
         // The limit of what hangs begins when it has said something.
         while (${timeout === HANGS_S} && fstatSync(log).size === 0) await new Promise(done => setTimeout(done, 10))
         const stream = () => new PassThrough()
         return { main, out: stream(), control: stream(), shell: stream(), children }
       } }
       const guest = new m.Guest(mkdtempSync(${JSON.stringify(path.join(folder, 'guest-'))}))
       await guest.start(machine, { kernel: {}, accelerator: 'none', processors: 1, timeout: ${timeout} })
       const status = await guest.finished
       const answer = { status, timedOut: guest.timedOut, console: guest.consoleTail() }
       await guest.end()
       return answer`,
    )

  test('is stopped after its time limit if it hangs, and its console is returned', () => {
    expect(guest('echo "task blocked"; sleep 1000', HANGS_S)).toEqual({
      status: 124,
      timedOut: true,
      console: 'task blocked',
    })
  })

  test('is reported with another status if it ends by itself, and its console is returned', () => {
    expect(guest('echo "Kernel panic"; exit 1', 60)).toEqual({ status: 125, timedOut: false, console: 'Kernel panic' })
  })
})
