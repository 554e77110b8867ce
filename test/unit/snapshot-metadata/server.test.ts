// The server: options, socket, and the identity of a driver.
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { status } from '@grpc/grpc-js'
import { serveSnapshotMetadata, type SnapshotMetadataOptions } from '../../../lib/entry/snapshot-metadata.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { serving } from '../../helpers/snapshot-metadata/serving.js'

const snapshots = { snapshot: () => Promise.reject(new Error('not called')) }
const driver = { name: 'thin.example.com', version: '1.2.3' }
let folder: string
let address: string

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'dm-thin-csi-'))
  address = path.join(folder, 'below/csi.sock')
})
afterEach(() => rmSync(folder, { recursive: true }))

test.each<[string, object]>([
  ['an unknown option', { socket: '/x' }],
  ['an address that is not a path', { address: '' }],
  ['no resolver', { snapshots: undefined }],
  ['a resolver without snapshot()', { snapshots: {} }],
  ['a fixed length that is not a flag', { fixedLength: 4096 }],
  ['a driver without a version', { driver: { name: 'a.b' } }],
  ['a driver with an empty version', { driver: { name: 'a.b', version: '' } }],
  ['a driver with another field', { driver: { ...driver, vendor: 'x' } }],
  ...['', '-a', 'a.', 'a_b', 'a'.repeat(64), 7].map(
    name => [`a driver named ${JSON.stringify(name)}`, { driver: { name, version: '1' } }] as [string, object],
  ),
])('serveSnapshotMetadata rejects %s', async (_, change) => {
  const options = { address, snapshots, ...change } as SnapshotMetadataOptions
  await expectCode(serveSnapshotMetadata(options), 'DM_INVALID_ARGUMENT')
  expect(existsSync(path.dirname(address))).toBe(false)
})

test('the socket is for its owner, is replaced if no server listens on it, and is removed by stop()', async () => {
  const server = await serveSnapshotMetadata({ address, snapshots })
  expect(server.address).toBe(address)
  expect(statSync(address).mode & 0o777).toBe(0o600)
  await expectCode(serveSnapshotMetadata({ address, snapshots }), 'DM_BUSY')
  await Promise.all([server.stop(), server.stop()])
  expect(existsSync(address)).toBe(false)
  const again = await serveSnapshotMetadata({ address, snapshots })
  await again.stop()
  writeFileSync(address, 'not a socket')
  await expectCode(serveSnapshotMetadata({ address, snapshots }), 'DM_INVALID_ARGUMENT')
})

test('a driver has an identity service, with the capability of snapshot metadata', () =>
  serving({ snapshots, driver }, async ({ client }) => {
    expect(await client.ask('getPluginInfo')).toEqual({ name: driver.name, vendor_version: '1.2.3', manifest: {} })
    // Type 4 is SNAPSHOT_METADATA_SERVICE.
    const { capabilities } = await client.ask<{ capabilities: object[] }>('getPluginCapabilities')
    expect(capabilities).toMatchObject([{ service: { type: 4 } }])
    expect(await client.ask('probe')).toEqual({ ready: { value: true } })
  }))

test('a server without a driver has no identity service', () =>
  serving({ snapshots }, async ({ client }) => {
    await expect(client.ask('probe')).rejects.toMatchObject({ code: status.UNIMPLEMENTED })
  }))
