// docs/test-matrix.md: what `npm run test:all` found, for each machine with and without udev.
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDir } from '../vm/cache.mjs'
import { repository } from '../setup/steps.mjs'

/** @param {import('./summary.mjs').Counted[]} parts */
export function writeMatrix(parts) {
  const rows = parts.map(({ title, suites, passed, failed, skipped, seconds }) =>
    ['', title, suites, passed, failed, skipped, `${Math.round(seconds)} s`, ''].join(' | ').trim(),
  )
  const kernels = ['uml', 'qemu'].map(name => `${name} ${newest(name)}`).join(', ')
  const text = `# Test matrix

Result of \`npm run test:all\` on ${new Date().toISOString().slice(0, 10)}, Node ${process.version}; kernels: ${kernels}.

| where | files | passed | failed | skipped | time |
| --- | ---: | ---: | ---: | ---: | ---: |
${rows.join('\n')}
`
  writeFileSync(join(repository, 'docs/test-matrix.md'), text)
}

function newest(machine) {
  const versions = readdirSync(join(cacheDir(), machine)).filter(name => /^\d/.test(name))
  return versions.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1)
}
