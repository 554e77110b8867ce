// The child processes of checks and repairs, with programs of this test in the place of thin_check.
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runTool } from '../../../lib/pool/check/thin-tools'
import { rejection } from '../../helpers/errors/thrown'

let folder: string
let usual: string | undefined
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'dm-thin-tools-'))
  usual = process.env['PATH']
  process.env['PATH'] = `${folder}:${usual}`
})
afterEach(() => {
  process.env['PATH'] = usual
  rmSync(folder, { recursive: true })
})

function thinCheck(script: string): void {
  const file = path.join(folder, 'thin_check')
  writeFileSync(file, `#!/bin/sh\n${script}\n`)
  chmodSync(file, 0o755)
}

test('runTool returns the exit code and the lines of both outputs, and passes the options without a shell', async () => {
  thinCheck('echo "got $1"; echo "  and $2" >&2; exit 64')
  const { exitCode, lines } = await runTool('thin_check', ['--quiet', '$HOME; ls'], '/dev/x')
  expect([exitCode, [...lines].sort()]).toEqual([64, ['and $HOME; ls', 'got --quiet']])
})

test('runTool keeps the first and the last lines of a long output', async () => {
  thinCheck('seq 1 100000')
  const { lines } = await runTool('thin_check', [], '/dev/x')
  expect([lines[0], lines.at(-1)]).toEqual(['1', '100000'])
  expect(lines).toContain('…')
  expect(lines.join('\n').length).toBeLessThan(9000)
})

test('runTool rejects with DM_DEPENDENCY and the package if the program is not installed', async () => {
  const fault = await rejection(() => runTool('thin_none' as never, [], '/dev/x'))
  expect(fault).toMatchObject({ code: 'DM_DEPENDENCY', operation: 'thin_none', device: '/dev/x' })
  expect(fault.message).toContain('install the package thin-provisioning-tools')
})

test('runTool rejects with DM_DEPENDENCY and the reason if the program cannot be started', async () => {
  writeFileSync(path.join(folder, 'thin_none'), '#!/bin/sh\n', { mode: 0o644 })
  const fault = await rejection(() => runTool('thin_none' as never, [], '/dev/x'))
  expect(fault).toMatchObject({ code: 'DM_DEPENDENCY' })
  expect(fault.message).toContain('cannot be started (spawn thin_none EACCES)')
})

test('an abort kills the program, and runTool rejects when it has ended', async () => {
  const pidFile = path.join(folder, 'pid')
  thinCheck(`echo $$ > ${pidFile}.new; mv ${pidFile}.new ${pidFile}; exec sleep 1000`)
  const abort = new AbortController()
  const call = rejection(() => runTool('thin_check', [], '/dev/x', abort.signal))
  while (!existsSync(pidFile)) await sleep(5)
  abort.abort('enough')
  expect(await call).toMatchObject({ code: 'ABORT_ERR', operation: 'thin_check', cause: 'enough' })
  const pid = Number(readFileSync(pidFile, 'utf8'))
  expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  expect(await rejection(() => runTool('thin_check', [], '/dev/x', abort.signal))).toMatchObject({ code: 'ABORT_ERR' })
})

test('runTool rejects with DM_CHECK_FAILED if something else ends the program', async () => {
  thinCheck('kill -9 $$')
  const fault = await rejection(() => runTool('thin_check', [], '/dev/x'))
  expect(fault).toMatchObject({ code: 'DM_CHECK_FAILED', operation: 'thin_check' })
  expect(fault.message).toContain('SIGKILL')
})
