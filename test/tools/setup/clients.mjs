// containerd, runc and Docker for the tests in the guest, and containerd's own suite for snapshotters, built here. The
// packages are unpacked into a cache folder and never installed: no daemon of theirs starts on this machine.
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { indexOfSuite, unpackPackages } from '../vm/apt.mjs'
import { cacheDir } from '../vm/cache.mjs'
import { inGuest } from './device-mapper.mjs'
import { UNPACKED } from './packages.mjs'
import { hashOf, isFresh, setStamp, withLock } from './stamps.mjs'
import { quietly, SetupError, step } from './steps.mjs'

const SUITE = 'test/clients/suite/suite_test.go'

/**
 * Where the guest finds them: `root` is a tree of unpacked packages, `containerd-2` one of containerd 2, which Debian stable
 * has not; `suite` is a program.
 */
export function clientsFolder() {
  return join(cacheDir(), 'clients')
}

export async function ensureClients() {
  if (inGuest()) return
  const folder = clientsFolder()
  const root = join(folder, 'root')
  const suite = join(folder, 'suite')
  const clientsHash = hashOf([], UNPACKED.clients)
  const suiteHash = hashOf([SUITE], UNPACKED.suite)
  const second = join(folder, 'containerd-2')
  const haveClients = () => [root, second].every(tree => existsSync(tree)) && isFresh('clients', clientsHash, [])
  const haveSuite = () => existsSync(suite) && isFresh('clients-suite', suiteHash, [])
  if (haveClients() && haveSuite()) return
  await withLock('clients', async () => {
    mkdirSync(folder, { recursive: true })
    if (!haveClients()) {
      await step('containerd and Docker, unpacked for the guest, not installed', () =>
        unpackPackages(UNPACKED.clients, root, { dependencies: true }),
      )
      await step('containerd 2 of Debian testing, unpacked for the guest, not installed', () => unpackSecond(second))
      setStamp('clients', clientsHash)
    }
    if (!haveSuite()) {
      const go = join(folder, 'go')
      await step("Go and containerd's sources, unpacked, not installed", () =>
        unpackPackages(UNPACKED.suite, go, { dependencies: true }),
      )
      await step("containerd's suite for snapshotters (go test -c)", () => buildSuite(go, suite))
      rmSync(go, { recursive: true, force: true })
      setStamp('clients-suite', suiteHash)
    }
  })
}

/** @param {string} to */
async function unpackSecond(to) {
  const index = await indexOfSuite('testing')
  if (index === undefined)
    throw new SetupError('no archive of Debian is among the sources of apt: containerd 2 is fetched from it')
  await unpackPackages(['containerd'], to, { index })
}

/** Debian's Go sources are a GOPATH; what the machine has of them is one more. @param {string} go where they are unpacked */
export function goIn(go) {
  const own = join(go, 'usr/lib/go')
  const program = existsSync(join(own, 'bin/go')) ? join(own, 'bin/go') : 'go'
  const env = {
    GO111MODULE: 'off',
    GOFLAGS: '-buildvcs=false',
    GOTOOLCHAIN: 'local',
    GOPATH: [join(go, 'path'), join(go, 'usr/share/gocode'), '/usr/share/gocode'].join(':'),
    GOCACHE: join(go, 'cache'),
    CGO_ENABLED: '0',
    ...(program === 'go' ? {} : { GOROOT: own }),
  }
  return { program, env }
}

/** @param {string} go @param {string} suite */
async function buildSuite(go, suite) {
  const { program, env } = goIn(go)
  await quietly([program, 'test', '-c', '-ldflags=-s -w', '-o', suite, SUITE], { env })
  if (!existsSync(suite)) throw new SetupError('"go test -c" succeeded without making the suite')
}
