#!/usr/bin/env node
// dm-thin doctor [--fix] [--json]: exit status 0 when nothing is to be done, 1 when something is, 2 for a wrong call.
import { examine, type Finding } from './doctor.js'

const USAGE = `usage: dm-thin doctor [--fix] [--json]
Looks at what this machine has for dm-thin, what is missing, and what dead processes left.
  --fix   takes away what dead processes of this library left; nothing of anybody else
  --json  prints the findings as JSON`

const MARK: Record<Finding['kind'], string> = { ok: 'ok     ', note: 'note   ', missing: 'missing', left: 'left   ' }

async function main(args: readonly string[]): Promise<number> {
  const [command, ...options] = args
  const unknown = options.find(option => option !== '--fix' && option !== '--json')
  if (command === '--help') {
    console.log(USAGE)
    return 0
  }
  if (command !== 'doctor' || unknown !== undefined) {
    console.error(unknown === undefined ? USAGE : `unknown option ${unknown}\n${USAGE}`)
    return 2
  }
  let findings = await examine()
  if (options.includes('--fix')) {
    const repairable = findings.filter(({ repair }) => repair)
    for (const { repair, text } of repairable) {
      await repair!().then(
        () => console.error(`repaired: ${text}`),
        (fault: unknown) => console.error(`not repaired: ${text}: ${String(fault)}`),
      )
    }
    if (repairable.length > 0) findings = await examine()
  }
  if (options.includes('--json'))
    console.log(
      JSON.stringify(
        findings.map(({ kind, text, hint }) => ({ kind, text, hint })),
        null,
        2,
      ),
    )
  else for (const finding of findings) print(finding)
  return findings.some(({ kind }) => kind === 'missing' || kind === 'left') ? 1 : 0
}

function print({ kind, text, hint, repair }: Finding): void {
  console.log(`${MARK[kind]}  ${text}`)
  if (hint !== undefined) console.log(`         ${hint}${repair ? '; or dm-thin doctor --fix' : ''}`)
}

main(process.argv.slice(2)).then(
  status => (process.exitCode = status),
  (fault: unknown) => {
    console.error(String(fault))
    process.exitCode = 2
  },
)
