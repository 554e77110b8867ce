// One of two processes whose calls overlap: it does what its parent asks, a line of JSON each, on the fault build. A call
// can be held before the nth operation of the kernel that it comes to: then the native code says so on the socket, and
// waits there until the parent lets it go on.
'use strict'

const { createInterface } = require('node:readline')
const { writeSync } = require('node:fs')
const { loadAddon } = require('../native/load-addon.cjs')

const HOLD_SOCKET = 3
const [calls, entry] = process.argv.slice(2)
const { groups, scene } = require(calls)(require(`../../../dist/entry/${entry}.js`))
const CALLS = Object.assign({}, ...Object.values(groups))

let actor

const faultOf = ({ code, message, rollback = [], stack }) => ({
  code,
  message: code === undefined ? stack : message,
  notUndone: rollback.filter(({ errno }) => errno !== 0).map(({ operation }) => operation),
})

async function answer({ next, call, input, hold }) {
  if (call === undefined) {
    actor = await scene(next, actor)
    return {}
  }
  const { setFault, clearFaults } = loadAddon()
  if (hold) setFault(hold.operations, hold.step, 'hold', HOLD_SOCKET)
  const result = await CALLS[call].run(actor, input).then(
    value => ({ value: value ?? null }),
    fault => ({ fault: faultOf(fault) }),
  )
  return { ...result, wasHeld: hold !== undefined && clearFaults() === 0 }
}

createInterface({ input: process.stdin }).on('line', line => {
  const say = value => writeSync(1, `${JSON.stringify(value)}\n`)
  answer(JSON.parse(line)).then(say, fault => say({ fault: faultOf(fault) }))
})
