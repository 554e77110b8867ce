// The one entry behind the commands of package.json. It needs nothing but Node, and brings the rest:
//
//   node test/tools/run.mjs <demo|test|test-full|test-all|unit|long|here|asan|fuzz|bench|vm|all-setup> [arguments]
import { allSetup, asan, bench, demo, long, test, testAll, testFull, testHere, unit, vm } from './runner/commands.mjs'
import { fuzz } from './runner/fuzz.mjs'
import { checkPlatform, completePath } from './setup/needs.mjs'
import { say, SetupError } from './setup/steps.mjs'

const COMMANDS = {
  demo,
  test,
  'test-full': testFull,
  'test-all': testAll,
  unit,
  long,
  here: testHere,
  asan,
  fuzz,
  bench,
  vm,
  'all-setup': allSetup,
}

async function main() {
  const [name, ...args] = process.argv.slice(2)
  const command = Object.hasOwn(COMMANDS, name ?? '') ? COMMANDS[name] : undefined
  if (command === undefined) throw new SetupError(`usage: run.mjs <${Object.keys(COMMANDS).join('|')}> [arguments]`)
  checkPlatform()
  completePath()
  return command(args)
}

main().then(
  status => process.exit(status),
  error => {
    say(error instanceof SetupError ? `\n${error.message}` : `\n${error.stack}`)
    process.exit(1)
  },
)
