// Workers that are terminated in the middle of as many native calls as there can be, at moments that chance decides:
// node storm.cjs [ROUNDS]. It needs no device mapper and no root.
'use strict'

const { isMainThread, parentPort, Worker } = require('node:worker_threads')
const { loadAddon } = require('../helpers/native/load-addon.cjs')

const ROUNDS = Number(process.argv[2] ?? 8)
const WORKERS = 3
const IN_FLIGHT = 64
const LONGEST_MS = 20

function busy() {
  const addon = loadAddon()
  let pending = 0
  const begin = () => {
    pending += 1
    addon.loopList(0).then(end, end)
  }
  const end = () => {
    if (--pending === 0) for (let i = 0; i < IN_FLIGHT; i++) begin()
  }
  begin()
  setTimeout(() => parentPort.postMessage('begun'), 5)
}

async function terminateOne() {
  const worker = new Worker(__filename)
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  await new Promise(resolve => setTimeout(resolve, Math.random() * LONGEST_MS))
  await worker.terminate()
}

async function main() {
  for (let round = 0; round < ROUNDS; round++) await Promise.all(Array.from({ length: WORKERS }, terminateOne))
  process.stdout.write('finished')
}

if (isMainThread) main()
else busy()
