// The action of dm-thin doctor: the support for dm-thin on this machine, and remains of dead processes. Only --fix calls
// `repair` of a finding.
import { readdirSync, readFileSync } from 'node:fs'
import { LoopDevice } from '../block/loop-device.js'
import { DmThinError } from '../base/errors.js'
import { nativePort } from '../kernel/native-port.js'
import { danglingLinks } from '../kernel/mapper-links.js'
import { DEVICE_FLAG, TABLE_FLAG, type DeviceInfo } from '../kernel/port/device-port.js'
import type { KernelPort } from '../kernel/port/kernel-port.js'
import { whyNoUdev } from '../kernel/udev.js'
import { parsePoolStatus } from '../target/thin-pool.js'
import type { Call } from './common/call.js'
import { EXIT } from './common/exit-codes.js'
import { errorText } from './common/output.js'

interface Finding {
  /** `ok`: supported. `note`: information. `missing` and `left`: an action is needed. */
  readonly kind: 'ok' | 'note' | 'missing' | 'left'
  readonly text: string
  /** The action for an operator. */
  readonly hint?: string
  /** The action of `--fix`. Only remains of dead processes of this library have one. */
  readonly repair?: () => Promise<void>
}

const MARK: Record<Finding['kind'], string> = { ok: 'ok     ', note: 'note   ', missing: 'missing', left: 'left   ' }

/** Prints the findings, and removes remains with --fix. Returns the exit code. */
export async function doctor(call: Call, { fix }: { fix?: true }): Promise<number> {
  let findings = await examine()
  const repairable = fix ? findings.filter(({ repair }) => repair) : []
  for (const { repair, text } of repairable) {
    await repair!().then(
      () => call.note(`repaired: ${text}`),
      (fault: unknown) => call.note(`not repaired: ${text}: ${errorText(fault)}`),
    )
  }
  if (repairable.length > 0) findings = await examine()
  const facts = findings.map(({ kind, text, hint }) => ({ kind, text, hint }))
  call.print(facts, () => findings.map(findingText).join('\n'))
  return findings.some(({ kind }) => kind === 'missing' || kind === 'left') ? EXIT.findings : EXIT.ok
}

function findingText({ kind, text, hint, repair }: Finding): string {
  const first = `${MARK[kind]}  ${text}`
  return hint === undefined ? first : `${first}\n         ${hint}${repair ? '; or dm-thin doctor --fix' : ''}`
}

const TARGETS = ['thin-pool', 'thin']

async function examine(port: KernelPort = nativePort()): Promise<Finding[]> {
  const findings: Finding[] = []
  const version = await askVersion(port, findings)
  if (version) {
    for (const type of TARGETS) findings.push(await target(port, type))
    findings.push(...(await mappedDevices(port)), ...links(port))
  }
  findings.push(...(await loopDevices()))
  findings.push(udev(), ...semaphores(port))
  return findings
}

async function askVersion(port: KernelPort, findings: Finding[]): Promise<boolean> {
  const { pid, getuid } = process
  if (getuid?.() !== 0) findings.push({ kind: 'missing', text: `process ${pid} is not root`, hint: 'run it with sudo' })
  try {
    findings.push({ kind: 'ok', text: `device mapper, interface ${(await port.version()).join('.')}` })
    return true
  } catch (fault) {
    findings.push({ kind: 'missing', text: textOf(fault) })
    return false
  }
}

async function target(port: KernelPort, type: string): Promise<Finding> {
  try {
    const { version } = await port.targetVersion(type)
    return { kind: 'ok', text: `target ${type} ${version.join('.')}` }
  } catch (fault) {
    return { kind: 'missing', text: textOf(fault), hint: 'modprobe dm-thin-pool' }
  }
}

async function mappedDevices(port: KernelPort): Promise<Finding[]> {
  const findings: Finding[] = []
  const all = await port.listDevices({})
  const own = all.filter(each => each.uuid.startsWith('DMTHIN-'))
  findings.push({ kind: 'ok', text: `${all.length} mapped devices, ${own.length} of them made by this library` })
  for (const { name } of all) {
    const info = await port.deviceStatus({ name }).catch(() => undefined)
    if (info) findings.push(...(await mappedDevice(port, info)))
  }
  return findings
}

async function mappedDevice(port: KernelPort, info: DeviceInfo): Promise<Finding[]> {
  const { name } = info
  const has = (flag: number) => (info.flags & flag) !== 0
  const findings: Finding[] = []
  if (has(DEVICE_FLAG.suspended)) {
    findings.push({ kind: 'left', text: `${name} is suspended: I/O to it waits`, hint: `dmsetup resume ${name}` })
  }
  if (!has(DEVICE_FLAG.activeTable)) {
    const hint = `dmsetup remove ${name}, if nobody is making it right now`
    findings.push({ kind: 'left', text: `${name} has no table: half-made`, hint })
  }
  if (has(DEVICE_FLAG.deferredRemove)) {
    findings.push({ kind: 'note', text: `${name} will be removed when the last that holds it lets go` })
  }
  const [line] = await port.tableStatus({ name }, TABLE_FLAG.noflush).catch(() => [])
  if (line?.type === 'thin-pool') findings.push(...poolFindings(name, line.parameters))
  return findings
}

function poolFindings(name: string, parameters: string): Finding[] {
  const status = parsePoolStatus(parameters)
  const repair = `dm-thin pool repair ${name} --deactivate`
  if (!('transactionId' in status)) {
    return [{ kind: 'left', text: `pool ${name} has failed`, hint: repair }]
  }
  const findings: Finding[] = []
  if (status.needsCheck) findings.push({ kind: 'left', text: `pool ${name} needs a check`, hint: repair })
  if (status.mode === 'out_of_data_space') {
    findings.push({
      kind: 'left',
      text: `pool ${name} is full: its writers wait`,
      hint: `dm-thin pool grow ${name} --data SIZE`,
    })
  }
  const used = Math.round((100 * status.usedDataBlocks) / status.totalDataBlocks)
  findings.push({ kind: used >= 90 ? 'note' : 'ok', text: `pool ${name}: ${used} % of its data blocks are used` })
  return findings
}

function links(port: KernelPort): Finding[] {
  return danglingLinks().map(name => ({
    kind: 'left',
    text: `/dev/mapper/${name} leads to a device that is gone, or another by now`,
    hint: `rm /dev/mapper/${name}`,
    repair: () => Promise.resolve(port.mapperLinks.drop(name)),
  }))
}

async function loopDevices(): Promise<Finding[]> {
  try {
    const all = await LoopDevice.list()
    const leaked = await LoopDevice.findLeaked()
    const count: Finding = { kind: 'ok', text: `${all.length} loop devices are attached` }
    return [
      count,
      ...leaked.map((loop): Finding => ({
        kind: 'left',
        text: `${loop.path} over ${loop.file} was left by a process that has ended`,
        hint: `losetup --detach ${loop.path}`,
        repair: () => loop.detach(),
      })),
    ]
  } catch (fault) {
    return [{ kind: 'missing', text: textOf(fault) }]
  }
}

function udev(): Finding {
  const why = whyNoUdev()
  if (why === undefined) return { kind: 'ok', text: 'udevd runs, with rules for the device mapper' }
  return { kind: 'note', text: `${why}: /dev/mapper has no links, use /dev/dm-N` }
}

const COOKIE_MAGIC = 0x0d4d
const COOKIE_LOCKS = '/run/dm-thin'

function semaphores(port: KernelPort): Finding[] {
  const own = new Set(listed(COOKIE_LOCKS).flatMap(name => /^cookie-([0-9a-f]{8})$/.exec(name)?.[1] ?? []))
  const findings: Finding[] = []
  for (const key of cookieKeys()) {
    if (own.delete(key)) continue // in use, or swept below
    const hint = `dmsetup udevcomplete 0x${key}, if no dmsetup or lvm waits for it`
    findings.push({ kind: 'left', text: `a udev semaphore of libdevmapper, 0x${key}`, hint })
  }
  const locks = listed(COOKIE_LOCKS).filter(name => name.startsWith('cookie-')).length
  if (locks > 0) {
    const text = `${locks} udev transactions of this library: in use, or of processes that have ended`
    findings.push({
      kind: 'note',
      text,
      hint: '--fix takes away those of ended ones',
      repair: async () => void (await port.udevSweep()),
    })
  }
  return findings
}

function cookieKeys(): string[] {
  const lines = read('/proc/sysvipc/sem').split('\n').slice(1)
  const keys = lines.map(line => Number(line.trim().split(/\s+/)[0]) >>> 0)
  return keys.filter(key => key >>> 16 === COOKIE_MAGIC).map(key => key.toString(16).padStart(8, '0'))
}

const textOf = (fault: unknown): string => (fault instanceof DmThinError ? fault.message : String(fault))

function listed(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
