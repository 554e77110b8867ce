// Tables that cannot be are refused before the kernel is asked, naming the option.
import * as kernel from '../../../lib/entry/kernel'
import { thrown } from '../../helpers/errors/thrown'

const targetOf = (type: string) =>
  Object.values(kernel)
    .filter((each): each is typeof kernel.linear => typeof each === 'function' && 'parseTable' in each)
    .find(target => target.type === type)!

const device = '7:0'
const sized = { lengthSectors: 2048 }
const snapshot = { ...sized, originDevice: device, cowDevice: '7:1', persistent: 'P', chunkSectors: 16 }
const raid = { ...sized, raidType: 'raid0', chunkSectors: 8, devices: [{ metadata: null, data: device }] }
const verity = { ...sized, dataDevice: device, hashDevice: device, dataBlockBytes: 4096, hashBlockBytes: 4096 }
const hashed = { ...verity, dataBlocks: 1, algorithm: 'sha256', rootDigest: '00' }
const cache = { ...sized, metadataDevice: device, cacheDevice: device, originDevice: device, policy: 'smq' }
const mirror = { ...sized, log: { kind: 'core', regionSectors: 8 }, copies: [{ device }, { device }] }
test.each<[string, unknown, string]>([
  ['linear', { device }, 'lengthSectors'],
  ['linear', { ...sized, device: '' }, 'device'],
  ['linear', { ...sized, device, offsetSectors: -1 }, 'offsetSectors'],
  ['linear', { ...sized, device, offset: 1 }, '"offset"'],
  ['linear', null, 'options must be an object'],
  ['striped', { ...sized, chunkSectors: 0, stripes: [{ device }] }, 'chunkSectors'],
  ['striped', { ...sized, chunkSectors: 8, stripes: [] }, 'stripes'],
  ['striped', { ...sized, chunkSectors: 8, stripes: [undefined] }, 'stripes[0]'],
  ['striped', { ...sized, chunkSectors: 96, stripes: [{ device }] }, 'lengthSectors must be a multiple'],
  ['delay', sized, 'read'],
  ['delay', { ...sized, read: { device, delayMs: 1 }, flush: { device, delayMs: 1 } }, 'flush needs write'],
  ['delay', { ...sized, read: { device, delayMs: -1 } }, 'read.delayMs'],
  ['flakey', { ...sized, device, upSeconds: 0, downSeconds: 0 }, 'downSeconds'],
  ['flakey', { ...sized, device, upSeconds: 1, downSeconds: 1, dropWrites: 'yes' }, 'dropWrites'],
  ['flakey', { ...sized, device, upSeconds: 1, downSeconds: 1, corruptBioByte: 5 }, 'corruptBioByte'],
  ['log-writes', { ...sized, device }, 'logDevice'],
  ['snapshot', { ...snapshot, persistent: 'Q' }, 'persistent'],
  ['snapshot', { ...snapshot, chunkSectors: 24 }, 'chunkSectors must be a power of two'],
  ['snapshot-origin', sized, 'originDevice'],
  ['thin-pool', { ...sized, metadataDevice: device, dataDevice: device, blockSectors: 100 }, 'blockSectors'],
  ['thin', { ...sized, poolDevice: device, id: 2 ** 24 }, 'id'],
  ['thin', { ...sized, poolDevice: device, id: 1, externalOrigin: '' }, 'externalOrigin'],
  ['crypt', { ...sized, cipher: 'aes', key: 'xyz', device }, 'key'],
  ['crypt', { ...sized, cipher: 'aes', key: '00', device, sectorSizeBytes: 100 }, 'sectorSizeBytes'],
  ['cache', { ...cache, blockSectors: 65 }, 'blockSectors'],
  ['cache', { ...cache, blockSectors: 64, mode: 'sideways' }, 'mode'],
  ['cache', { ...cache, blockSectors: 64, policyArguments: { a: 1 } }, 'policyArguments.a'],
  ['cache', { ...cache, blockSectors: 64, policyArguments: 'a' }, 'policyArguments'],
  ['writecache', { ...sized, kind: 'x' }, 'kind'],
  ['era', { ...sized, metadataDevice: device, originDevice: device, blockSectors: 7 }, 'blockSectors'],
  ['verity', { ...hashed, rootDigest: 'xyz' }, 'rootDigest'],
  ['verity', { ...hashed, fecRoots: 1 }, 'fecRoots'],
  ['integrity', { ...sized, device, mode: 'Z' }, 'mode'],
  ['raid', { ...raid, raidType: 'linear' }, 'raidType'],
  ['raid', { ...raid, devices: [{ metadata: device }] }, 'devices[0].data'],
  ['raid', { ...raid, rebuild: 1 }, 'rebuild'],
  ['mirror', { ...mirror, copies: [{ device }] }, 'copies'],
  ['mirror', { ...mirror, log: { kind: 'disk', regionSectors: 8 } }, 'log.device'],
  ['mirror', { ...mirror, log: undefined }, 'log'],
])('the table of %s with %j is rejected with a message that names %s', (type, table, words) => {
  const fault = thrown(() => targetOf(type)(table as never))
  expect(fault.code).toBe('DM_INVALID_ARGUMENT')
  expect(fault.message).toContain(words)
})
