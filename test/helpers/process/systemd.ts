// systemd as the first process of its own namespaces: boots with the units of a test, and powers off.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Daemon } from './daemon.js'
import { run, tryRun } from './spawned.js'

const SYSTEMD = '/usr/lib/systemd/systemd'

/** The units of a page of the documentation, with what this machine has in the place of what the page names. */
export function unitOf(page: string, name: string, here: Readonly<Record<string, string>>): string {
  const text = readFileSync(path.join(__dirname, '../../../docs', page), 'utf8')
  const found = new RegExp(`\`/etc/systemd/system/${name}\`[^]*?\`\`\`ini\n([^]*?)\`\`\``).exec(text)
  if (!found) throw new Error(`${page} has no unit ${name}`)
  return Object.entries(here).reduce((unit, [named, local]) => {
    if (!unit.includes(named)) throw new Error(`the unit ${name} does not name ${named}`)
    return unit.replaceAll(named, local)
  }, found[1]!)
}

/** A machine's start: the units are in /etc/systemd/system, and those that were enabled at the last start begin with it. */
export class Systemd {
  readonly #unshare: Daemon
  readonly #pid: string

  private constructor(unshare: Daemon, pid: string) {
    this.#unshare = unshare
    this.#pid = pid
  }

  /** Resolves when the target is reached. `folder` is /etc/systemd/system. */
  static async boot(folder: string, target: string): Promise<Systemd> {
    const script = [
      'mount --make-rprivate /',
      'mount -t tmpfs none /run',
      'mkdir -p /etc/systemd/system',
      `mount --bind ${folder} /etc/systemd/system`,
      'if mountpoint -q /sys/fs/cgroup; then umount /sys/fs/cgroup; fi',
      'mount -t cgroup2 none /sys/fs/cgroup',
      `exec env -i container=test PATH="$PATH" ${SYSTEMD} --system --unit=${target} --log-target=console`,
    ]
    const namespaces = ['--pid', '--mount', '--ipc', '--uts', '--cgroup', '--fork', '--kill-child', '--mount-proc']
    const unshare = new Daemon('unshare', [...namespaces, 'sh', '-ec', script.join('\n')])
    try {
      let pid = ''
      const parent = unshare.process.pid!
      await unshare.until('systemd runs', () => {
        pid = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim()
        return pid !== '' && readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'systemd'
      })
      const machine = new Systemd(unshare, pid)
      await unshare.until(target, () => machine.#control('is-active', target).stdout.trim() === 'active')
      return machine
    } catch (fault) {
      await unshare.end('SIGKILL')
      throw fault
    }
  }

  #control(...words: readonly string[]) {
    return tryRun('nsenter', ['--target', this.#pid, '--all', 'systemctl', ...words])
  }

  /** Runs systemctl, which must succeed, and returns what it printed. */
  systemctl(...words: readonly string[]): string {
    return run('nsenter', ['--target', this.#pid, '--all', 'systemctl', ...words]).trim()
  }

  /**
   * Enables and starts a unit, and resolves when it is active. The wait is not systemctl's, which would be as long as all
   * units before this one take, and no program of a test runs for more than a minute.
   */
  async enable(unit: string): Promise<void> {
    this.systemctl('--no-block', 'enable', '--now', unit)
    await this.#unshare.until(`${unit} is active`, () => {
      const state = this.#control('is-active', unit).stdout.trim()
      if (state === 'failed') throw new Error(`${unit} failed:\n${this.#control('status', unit).stdout}`)
      return state === 'active'
    })
  }

  /** Powers off, and resolves with what the start and the end have printed. */
  async powerOff(): Promise<string> {
    this.systemctl('--no-block', 'poweroff')
    await this.#unshare.ended
    return this.#unshare.output
  }

  /** Kills it, if it still runs: for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#unshare.end('SIGKILL')
  }
}

/** Writes units into a new folder, for `Systemd.boot`. */
export function writeUnits(folder: string, units: Readonly<Record<string, string>>): string {
  mkdirSync(folder, { recursive: true })
  for (const [name, text] of Object.entries(units)) writeFileSync(path.join(folder, name), text)
  return folder
}
