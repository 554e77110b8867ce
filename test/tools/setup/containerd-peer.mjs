// The benchmark's program that is linked with containerd's snapshotter for device mapper. A comparison that cannot be built
// is left out and does not keep the others from being made.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { unpackPackages } from '../vm/apt.mjs'
import { clientsFolder, goIn } from './clients.mjs'
import { inGuest } from './device-mapper.mjs'
import { UNPACKED } from './packages.mjs'
import { hashOf, isFresh, setStamp, withLock } from './stamps.mjs'
import { quietly, say, SetupError, step } from './steps.mjs'

const SOURCE = 'test/bench/peers/containerd'
const PROGRAM = '.cache/bench/containerd'

export async function ensureContainerdPeer() {
  if (inGuest()) return
  const hash = hashOf([SOURCE], UNPACKED.suite)
  if (isFresh('containerd-peer', hash, [PROGRAM])) return
  try {
    await withLock('clients', () => build(hash))
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    say(`${error.message}\ncontainerd is left out of the comparison.`)
  }
}

/** @param {string} hash */
async function build(hash) {
  const go = join(clientsFolder(), 'go-bench')
  await step("Go and containerd's sources, unpacked, not installed", () =>
    unpackPackages(UNPACKED.suite, go, { dependencies: true }),
  )
  const { program, env } = goIn(go)
  const command = [program, 'build', '-ldflags=-s -w', '-o', PROGRAM, `./${SOURCE}`]
  await step("the benchmark's program on containerd's snapshotter (go build)", () => quietly(command, { env }))
  rmSync(go, { recursive: true, force: true })
  setStamp('containerd-peer', hash)
}
