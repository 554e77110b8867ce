// containerd's own suite for snapshotters against the example's server: what containerd expects of one, in its words.
import { GiB } from '../../lib/index.js'
import { useScratch } from '../helpers/scratch.js'
import { clientEnvironment, Daemon, PATIENCE_MS, removePool, startServer, SUITE } from '../helpers/snapshotter.js'

const scratch = useScratch()

/** The names as they stand in containerd. */
const CASES = [
  ['Basic', 'StatActive', 'StatComitted', 'TransitivityTest', 'PreareViewFailingtest', 'Update', 'Remove', 'Walk'],
  ['LayerFileupdate', 'RemoveDirectoryInLowerLayer', 'Chown', 'DirectoryPermissionOnCommit'],
  ['RemoveIntermediateSnapshot', 'DeletedFilesInChildSnapshot', 'MoveFileFromLowerLayer', 'ViewReadonly'],
  ['StatInWalk', 'CloseTwice', 'RootPermission', 'Rename', '128LayersMount'],
].flat()

test.each(['ext4', 'xfs'])(
  'all 21 cases pass on %s',
  async fileSystem => {
    expect(CASES).toHaveLength(21)
    const pool = scratch.name(`suite-${fileSystem}`)
    const address = scratch.path(`${fileSystem}.sock`)
    const more = ['--fs', fileSystem, '--size', String(GiB)]
    const server = await startServer({ address, root: scratch.path(fileSystem), pool, more })
    try {
      const env = clientEnvironment({ DM_THIN_SNAPSHOTTER: address })
      const suite = new Daemon(SUITE, ['-test.v', '-test.root', '-test.parallel', '1', '-test.count', '1'], env)
      const status = await suite.ended
      const verdicts = [...suite.output.matchAll(/^ +--- (\w+): TestSnapshotter\/(\S+)/gm)]
      const passed = verdicts.filter(([, verdict]) => verdict === 'PASS').map(([, , name]) => name)
      if (status !== 0 || passed.length !== CASES.length) throw new Error(suite.output)
      expect(passed.sort()).toEqual([...CASES].sort())
      expect(await server.end()).toBe(0)
      expect(server.output).toBe(`listening on ${address}\n`)
    } finally {
      await server.end('SIGKILL')
      await removePool(pool)
    }
  },
  PATIENCE_MS,
)
