// containerd's own suite for snapshotters against the example's server: what containerd expects of one, in its words.
import { existsSync } from 'node:fs'
import { useScratch } from '../helpers/kernel/scratch.js'
import { clientEnvironment, PATIENCE_MS, removePool, startServer, SUITE } from '../helpers/containerd/snapshotter.js'
import { Daemon } from '../helpers/process/daemon.js'

const scratch = useScratch()

/** The names as they stand in containerd. */
const CASES = [
  ['Basic', 'StatActive', 'StatComitted', 'TransitivityTest', 'PreareViewFailingtest', 'Update', 'Remove', 'Walk'],
  ['LayerFileupdate', 'RemoveDirectoryInLowerLayer', 'Chown', 'DirectoryPermissionOnCommit'],
  ['RemoveIntermediateSnapshot', 'DeletedFilesInChildSnapshot', 'MoveFileFromLowerLayer', 'ViewReadonly'],
  ['StatInWalk', 'CloseTwice', 'RootPermission', 'Rename', '128LayersMount'],
].flat()

/** Runs the suite on a store with this file system, and gives the names of the cases that passed. */
async function passing(fileSystem: 'ext4' | 'xfs'): Promise<string[]> {
  const pool = scratch.name(`suite-${fileSystem}`)
  const address = scratch.path(`${fileSystem}.sock`)
  const more = ['--fs', fileSystem, '--size', '1GiB']
  const server = await startServer({ address, root: scratch.path(fileSystem), pool, more })
  try {
    const env = clientEnvironment({ DM_THIN_SNAPSHOTTER: address })
    // The cases share one store, and some name their layers alike: one after the other.
    const suite = new Daemon(SUITE, ['-test.v', '-test.root', '-test.parallel', '1', '-test.timeout', '1h'], env)
    const status = await suite.ended
    const verdicts = [...suite.output.matchAll(/^ +--- (\w+): TestSnapshotter\/(\S+)/gm)]
    const passed = verdicts.filter(([, verdict]) => verdict === 'PASS').map(([, , name]) => name!)
    if (status !== 0 || passed.length !== CASES.length)
      throw new Error(`on ${fileSystem}, status ${status}:\n${suite.output}\nthe server said:\n${server.output}`)
    expect(await server.end()).toBe(0)
    expect(server.output).toBe(`listening on ${address}\n`)
    expect(existsSync(address)).toBe(false)
    return passed
  } finally {
    await server.end('SIGKILL')
    await removePool(pool)
  }
}

test(
  'the 21 cases of containerd’s suite pass on ext4 and on xfs, with two stores at the same time',
  async () => {
    expect(CASES).toHaveLength(21)
    const results = await Promise.allSettled([passing('ext4'), passing('xfs')])
    for (const result of results) {
      if (result.status === 'rejected') throw result.reason
      expect(result.value.sort()).toEqual([...CASES].sort())
    }
  },
  PATIENCE_MS,
)
