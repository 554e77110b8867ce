// A virtual machine that boots from a block device, and what its first process prints.
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'

/** How a kernel is started. */
export type Kind = 'uml' | 'qemu'

export interface MachineOptions {
  readonly kind: Kind
  /** User-Mode Linux: its program. QEMU: a kernel that has ext4 and NVMe built in. */
  readonly kernel: string
  /** A folder for sockets. */
  readonly folder: string
  /** The path of the root disk. */
  readonly device: string
  /** What the first process writes to its disk. */
  readonly name: string
  /** `count` writes until the machine is stopped. */
  readonly task: 'write' | 'count'
}

const MEMORY = '96M'

function commandOf({ kind, kernel, folder, device, name, task }: MachineOptions): [string, string[]] {
  const words = ['rw', 'init=/init', 'quiet', `name=${name}`, `task=${task}`]
  if (kind === 'uml') {
    const machine = [`mem=${MEMORY}`, `ubd0=${device}`, 'root=/dev/ubda', 'con=null', 'con0=null,fd:1', 'end=poweroff']
    return [kernel, [...machine, `uml_dir=${folder}`, `umid=${name}`, ...words]]
  }
  // Without ACPI and its tables an emulated kernel starts in half of the time. It cannot switch itself off then, so that
  // it resets itself, and QEMU ends.
  const append = ['root=/dev/nvme0n1', 'console=ttyS0', 'acpi=off', 'reboot=t', 'panic=-1', 'end=reboot', ...words]
  const drive = `if=none,id=root,format=raw,cache=none,file=${device}`
  const accelerator = existsSync('/dev/kvm') ? 'kvm' : 'tcg'
  const machine = [
    '-M',
    `pc,accel=${accelerator},usb=off`,
    '-m',
    MEMORY,
    '-nodefaults',
    '-no-user-config',
    '-no-reboot',
  ]
  const devices = ['-display', 'none', '-serial', 'stdio', '-drive', drive, '-device', 'nvme,drive=root,serial=root']
  return ['qemu-system-x86_64', [...machine, ...devices, '-kernel', kernel, '-append', append.join(' ')]]
}

/** A virtual machine that was started. */
export class Machine {
  readonly #child: ChildProcess
  readonly #ended: Promise<void>
  readonly #lines: string[] = []
  #isOver = false
  #changed = (): void => {}

  constructor(options: MachineOptions) {
    const [program, words] = commandOf(options)
    // A process group of its own: User-Mode Linux has a process for each process of its guest.
    this.#child = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
    for (const stream of [this.#child.stdout!, this.#child.stderr!])
      createInterface({ input: stream }).on('line', line => this.#add(line.trim()))
    this.#ended = new Promise(resolve => {
      const end = () => {
        this.#isOver = true
        this.#changed()
        resolve()
      }
      this.#child.once('close', end)
      this.#child.once('error', fault => {
        this.#add(fault.message)
        end()
      })
    })
  }

  /** Waits for a line, and returns what the group of the pattern matched. Rejects if the machine ends without it. */
  async line(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = this.#lines.map(line => pattern.exec(line)).find(match => match !== null)
      if (found) return found[1]!
      if (this.#isOver) throw new Error(`the machine ended before ${pattern}:\n${this.#lines.slice(-15).join('\n')}`)
      await new Promise<void>(resolve => (this.#changed = resolve))
    }
  }

  /** Returns what the group of the pattern matched in the last line that matches. */
  last(pattern: RegExp): string | undefined {
    return this.#lines
      .map(line => pattern.exec(line)?.[1])
      .filter(match => match !== undefined)
      .at(-1)
  }

  /** Waits until the machine has switched itself off. */
  async off(): Promise<void> {
    await this.line(/^(ends)$/)
    await this.#ended
  }

  /** Ends the machine, as a loss of power would. */
  async stop(): Promise<void> {
    if (!this.#isOver && this.#child.pid !== undefined) process.kill(-this.#child.pid, 'SIGKILL')
    await this.#ended
  }

  #add(line: string): void {
    this.#lines.push(line)
    this.#changed()
  }
}
