// docs/api.md says what the docstrings say. When this fails: npm run docs
import { spawnSync } from 'node:child_process'
import path from 'node:path'

test('docs/api.md is up to date', () => {
  const generator = path.join(__dirname, '../../docs/generate-api.mjs')
  const { status, stderr } = spawnSync(process.execPath, [generator, '--check'], { encoding: 'utf8' })
  expect(stderr).toBe('')
  expect(status).toBe(0)
})
