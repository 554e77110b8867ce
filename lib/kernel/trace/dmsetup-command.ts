// A call of the low-level API as a command line, for the trace. Pure.
import { TABLE_FLAG, type DeviceAddress, type TargetLine } from '../port/device-port.js'
import type { CreateThinRequest, RemovedVolume } from '../port/pool-port.js'
import { deviceMajor, deviceMinor } from '../../base/device-number.js'

type Args = readonly unknown[]

const quoted = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)

function who(address: unknown): string {
  const given = address as DeviceAddress
  if ('name' in given) return quoted(given.name)
  if (given.label !== undefined) return quoted(given.label)
  if ('uuid' in given) return `--uuid ${quoted(given.uuid)}`
  return `--major ${deviceMajor(given.device)} --minor ${deviceMinor(given.device)}`
}

const tableText = (table: unknown): string =>
  (table as readonly TargetLine[])
    .map(line => [line.startSectors, line.lengthSectors, line.type, line.parameters].join(' ').trim())
    .join('\n')

const text = (value: unknown): string => value as string

const has = (flags: unknown, flag: number): boolean => typeof flags === 'number' && (flags & flag) !== 0

function tableStatus([address, flags]: Args): string {
  const command = has(flags, TABLE_FLAG.table) ? 'table' : 'status'
  const inactive = has(flags, TABLE_FLAG.inactive) ? ' --inactive' : ''
  const noflush = command === 'status' && has(flags, TABLE_FLAG.noflush) ? ' --noflush' : ''
  return `dmsetup ${command}${inactive}${noflush} ${who(address)}`
}

function suspend([address, flags]: Args): string {
  const noflush = has(flags, TABLE_FLAG.noflush) ? ' --noflush' : ''
  const lockfs = has(flags, TABLE_FLAG.skipLockfs) ? ' --nolockfs' : ''
  return `dmsetup suspend${noflush}${lockfs} ${who(address)}`
}

interface Activation {
  readonly name: string
  readonly uuid: string
  readonly table: readonly TargetLine[]
  readonly readOnly?: boolean
}

function activate(request: unknown): string {
  const { name, uuid, table, readOnly } = request as Activation
  const withUuid = uuid === '' ? '' : ` --uuid ${quoted(uuid)}`
  return `dmsetup create ${quoted(name)}${withUuid}${readOnly ? ' --readonly' : ''} --table ${quoted(tableText(table))}`
}

interface Snapshots {
  readonly pool: { readonly name: string }
  readonly originId: number
  readonly ids: readonly number[]
}

function snapshot([request]: Args): string {
  const { pool, originId, ids } = request as Snapshots
  const messages = ids.map(id => `dmsetup message ${quoted(pool.name)} 0 'create_snap ${id} ${originId}'`)
  return messages.join('; ') // between suspend and resume of the origin, if it is active
}

function createThin([request]: Args): string {
  const { pool, id, originId } = request as CreateThinRequest
  const message = originId === undefined ? `create_thin ${id}` : `create_snap ${id} ${originId}`
  return `dmsetup message ${quoted(pool.name)} 0 '${message}'`
}

interface Move {
  readonly pool: { readonly name: string }
  readonly device: DeviceAddress
  readonly originId: number
  readonly id: number
  readonly table: readonly TargetLine[]
}

function moveToSnapshot([request]: Args): string {
  const { pool, device, originId, id, table } = request as Move
  const create = `dmsetup message ${quoted(pool.name)} 0 'create_snap ${id} ${originId}'`
  const load = `dmsetup load ${who(device)} --table ${quoted(tableText(table))}`
  return [`dmsetup suspend --noflush --nolockfs ${who(device)}`, create, load, `dmsetup resume ${who(device)}`].join(
    '; ',
  )
}

/** `options`: of the removal. */
function removal(address: unknown, options: string): string {
  return `dmsetup suspend --noflush --nolockfs ${who(address)}; dmsetup remove${options} ${who(address)}`
}

const WORDS: Record<string, (args: Args) => string> = {
  version: () => 'dmsetup version',
  listDevices: () => 'dmsetup ls',
  listVersions: () => 'dmsetup targets',
  targetVersion: ([type]) => `dmsetup target-version ${quoted(text(type))}`,
  removeAll: ([flags]) => `dmsetup remove_all${flags ? ' --deferred' : ''}`,
  create: ([name, uuid]) =>
    `dmsetup create ${quoted(text(name))}${uuid === '' ? '' : ` --uuid ${quoted(text(uuid))}`} --notable`,
  remove: ([address, , deferred, limit]) =>
    `dmsetup remove${deferred ? ' --deferred' : ''}${limit ? ' --retry' : ''} ${who(address)}`,
  rename: ([name, to]) => `dmsetup rename ${quoted(text(name))} ${quoted(text(to))}`,
  setUuid: ([name, uuid]) => `dmsetup rename ${quoted(text(name))} --setuuid ${quoted(text(uuid))}`,
  setGeometry: ([address, geometry]) => `dmsetup setgeometry ${who(address)} ${String(geometry)}`,
  suspend,
  resume: ([address]) => `dmsetup resume ${who(address)}`,
  deviceStatus: ([address]) => `dmsetup info ${who(address)}`,
  wait: ([address, event]) => `dmsetup wait ${who(address)} ${String(event)}`,
  tableLoad: ([address, table]) => `dmsetup load ${who(address)} --table ${quoted(tableText(table))}`,
  tableClear: ([address]) => `dmsetup clear ${who(address)}`,
  tableDeps: ([address]) => `dmsetup deps ${who(address)}`,
  tableStatus,
  deviceLines: tableStatus,
  inventory: ([pool]) =>
    `dmsetup table ${who(pool)}; dmsetup status --noflush ${who(pool)}; dmsetup table --target thin`,
  poolStatus: ([address]) => `dmsetup table ${who(address)}; dmsetup status --noflush ${who(address)}`,
  targetMessage: ([address, sector, message]) =>
    `dmsetup message ${who(address)} ${String(sector)} ${quoted(text(message))}`,
  targetMessages: ([address, sector, messages]) =>
    (messages as readonly string[])
      .map(each => `dmsetup message ${who(address)} ${String(sector)} ${quoted(each)}`)
      .join('; '),
  createThin,
  commit: ([pool]) => `dmsetup status ${who(pool)}`, // without --noflush it commits
  activate: ([, request]) => activate(request),
  activateMany: ([, requests]) => (requests as readonly unknown[]).map(activate).join('; '),
  deactivate: ([, address, , , limit]) => removal(address, limit ? ' --retry' : ''),
  deactivateMany: ([, volumes]) =>
    (volumes as readonly RemovedVolume[]).map(({ address }) => removal(address, '')).join('; '),
  snapshot,
  moveToSnapshot,
  snapshotActive: ([request, , activation]) => `${snapshot([request])}; ${activate(activation)}`,
}

/** Returns `dmsetup …` for calls that dmsetup supports too; undefined for others. */
export function toDmsetupCommand(call: string, args: readonly unknown[]): string | undefined {
  return Object.hasOwn(WORDS, call) ? WORDS[call]!(args) : undefined
}
