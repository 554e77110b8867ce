// What terminate() in the middle of native calls does to the process, on the Node at hand: nothing. The other versions
// of Node have their turn in test/runtimes.
import { spawnSync } from 'node:child_process'
import path from 'node:path'

test('a process whose workers are terminated with calls in flight ends without a crash', () => {
  const script = path.join(__dirname, '../../runtimes/storm.cjs')
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [script], {
    encoding: 'utf8',
    timeout: 100_000,
    killSignal: 'SIGKILL',
  })
  expect({ status, signal, stdout, stderr }).toEqual({ status: 0, signal: null, stdout: 'finished', stderr: '' })
})
