#!/usr/bin/env node
// The program of `npx dm-thin`.

async function main(): Promise<void> {
  const { run } = await import('./program.js')
  await run(process.argv.slice(2))
}

main().catch((fault: unknown) => {
  const { code, message } = fault as NodeJS.ErrnoException
  const isMissing = code === 'MODULE_NOT_FOUND' && message.includes("'commander'")
  console.error(isMissing ? 'dm-thin: the package commander cannot be loaded: npm install commander@^14' : fault)
  process.exitCode = isMissing ? 7 : 10
})
