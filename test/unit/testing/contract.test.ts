// The contract on the memory kernel. The same cases run on the real one: test/contract/real-kernel.test.ts
import { memoryKernel } from '../../../lib/entry/testing.js'
import { portInside } from '../../../lib/kernel/kernel-option.js'
import type { Machine } from '../../contract/machine.js'
import { contract } from '../../contract/contract.js'

let counter = 0

function memoryMachine(): Machine {
  const kernel = memoryKernel()
  return {
    kernel,
    port: portInside(kernel),
    name: label => `${label}-${++counter}`,
    path: label => `/scratch/${label}-${++counter}`,
    write: (node, offset, content) => kernel.write(node, offset, content),
    writeDirect: (node, block) =>
      kernel.write(node, block * 65536, 65536).then(
        () => '',
        (fault: { code: string }) => fault.code,
      ),
    read: (node, offset, length) => kernel.read(node, offset, length),
    discard: (node, offset, length) => kernel.discard(node, offset, length),
    hold: node => kernel.hold(node),
  }
}

contract('the memory kernel', memoryMachine, machine => {
  const left = (machine.kernel as ReturnType<typeof memoryKernel>).left()
  expect(left).toEqual({ devices: [], loops: [], files: [], mounts: [] })
})
