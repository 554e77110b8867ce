import { toDmsetupCommand } from '../../../lib/kernel/trace/dmsetup-command'
import { TABLE_FLAG } from '../../../lib/kernel/port/device-port'

const line = (type: string, parameters = '', startSectors = 0) => ({ startSectors, lengthSectors: 8, type, parameters })
const pool = { device: 0xfd00, name: 'p', uuid: '' }
const thin = { name: 'p-1', uuid: 'u', table: [line('thin', '253:0 1')], readOnly: false, thinId: 1 }

test.each([
  ['create', ['a b', ''], "dmsetup create 'a b' --notable"],
  ['create', ['a', 'u'], 'dmsetup create a --uuid u --notable'],
  ['tableLoad', [{ name: 'a' }, [line('linear', '7:0 0')], 0], "dmsetup load a --table '0 8 linear 7:0 0'"],
  [
    'tableLoad',
    [{ uuid: 'u' }, [line('zero'), line('error', '', 8)], 0],
    "dmsetup load --uuid u --table '0 8 zero\n8 8 error'",
  ],
  ['resume', [{ device: 0xfd03 }], 'dmsetup resume --major 253 --minor 3'],
  ['suspend', [{ name: 'a' }, TABLE_FLAG.noflush | TABLE_FLAG.skipLockfs], 'dmsetup suspend --noflush --nolockfs a'],
  ['tableStatus', [{ name: 'a' }, TABLE_FLAG.noflush], 'dmsetup status --noflush a'],
  [
    'tableStatus',
    [{ name: 'a' }, TABLE_FLAG.table | TABLE_FLAG.noflush | TABLE_FLAG.inactive],
    'dmsetup table --inactive a',
  ],
  ['targetMessage', [{ name: 'p' }, 0, 'create_thin 7'], "dmsetup message p 0 'create_thin 7'"],
  ['targetMessage', [{ name: 'p' }, 0, "it's"], "dmsetup message p 0 'it'\\''s'"],
  ['remove', [{ name: 'a' }, 0x4e, true, 0, 0], 'dmsetup remove --deferred a'],
  ['remove', [{ name: 'a' }, 0x4e, false, 10_000, 0], 'dmsetup remove --retry a'],
  ['rename', ['a', 'b'], 'dmsetup rename a b'],
  ['setUuid', ['a', 'u'], 'dmsetup rename a --setuuid u'],
  ['activate', [null, thin], "dmsetup create p-1 --uuid u --table '0 8 thin 253:0 1'"],
  [
    'activateMany',
    [null, [thin, thin]],
    "dmsetup create p-1 --uuid u --table '0 8 thin 253:0 1'; dmsetup create p-1 --uuid u --table '0 8 thin 253:0 1'",
  ],
  [
    'deactivate',
    [{ pool, looks: true }, { uuid: 'u' }, 7, 0x4e, 10_000],
    'dmsetup suspend --noflush --nolockfs --uuid u; dmsetup remove --retry --uuid u',
  ],
  [
    'targetMessages',
    [{ name: 'p' }, 0, ['delete 1', 'delete 2']],
    "dmsetup message p 0 'delete 1'; dmsetup message p 0 'delete 2'",
  ],
  [
    'deactivateMany',
    [{ pool, looks: true }, ['a', 'b'].map((name, thinId) => ({ address: { name }, thinId }))],
    'dmsetup suspend --noflush --nolockfs a; dmsetup remove a; dmsetup suspend --noflush --nolockfs b; dmsetup remove b',
  ],
  ['inventory', [{ name: 'a' }], 'dmsetup table a; dmsetup status --noflush a; dmsetup table --target thin'],
  ['poolStatus', [{ name: 'a' }, '/dev/loop1'], 'dmsetup table a; dmsetup status --noflush a'],
  [
    'snapshotActive',
    [{ pool, originId: 0, ids: [1] }, { pool, ownPrefix: '' }, thin, 0],
    "dmsetup message p 0 'create_snap 1 0'; dmsetup create p-1 --uuid u --table '0 8 thin 253:0 1'",
  ],
  [
    'moveToSnapshot',
    [{ pool, device: { uuid: 'u', label: 'p-1' }, lockedId: 1, originId: 0, id: 2, table: thin.table }],
    "dmsetup suspend --noflush --nolockfs p-1; dmsetup message p 0 'create_snap 2 0'; dmsetup load p-1 --table '0 8 thin 253:0 1'; dmsetup resume p-1",
  ],
  [
    'snapshot',
    [{ pool: { name: 'p' }, originId: 1, ids: [2, 3] }],
    "dmsetup message p 0 'create_snap 2 1'; dmsetup message p 0 'create_snap 3 1'",
  ],
  ['loopAttach', [{}], undefined],
  ['constructor', [{}], undefined],
])('toDmsetupCommand returns for %s with %j the equivalent command', (call, args, words) => {
  expect(toDmsetupCommand(call, args)).toBe(words)
})
