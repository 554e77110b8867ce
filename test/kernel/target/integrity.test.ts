// Scenario                                                   Test
// A  crypt                                                   a crypt device stores …
// A  verity                                                  a verity device returns data …
// a key must not get into a log                              the error of an invalid crypt table does not …
import { createHash, randomBytes } from 'node:crypto'
import { MiB } from '../../../lib/entry/index.js'
import { crypt, integrity, MappedDevice, verity } from '../../../lib/entry/kernel.js'
import { pattern, readAt, writeAt } from '../../helpers/kernel/blocks.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { readBelow, roundTrip, withDevices } from '../../helpers/target/round-trip.js'
import { useScratch } from '../../helpers/kernel/scratch.js'

const scratch = useScratch()
const nodeOf = (device: string): string => `/dev/loop${device.slice(2)}`

test('a crypt device stores encrypted data, and decrypts it with the same key', async () => {
  await withDevices(scratch, [MiB], async ([device]) => {
    const plain = {
      lengthSectors: 2048,
      cipher: 'aes-cbc-essiv:sha256',
      key: randomBytes(32).toString('hex'),
      ivOffset: 0,
      device: device!,
      offsetSectors: 0,
    }
    await roundTrip(scratch, crypt, plain, async seen => {
      expect(seen.table).toEqual(plain)
      await writeAt(seen.device.path, 0, pattern(1, 4096))
    })
    expect((await readBelow(device!, 0, 4096)).equals(pattern(1, 4096))).toBe(false)
    await roundTrip(scratch, crypt, plain, async seen => {
      expect((await readAt(seen.device.path, 0, 4096)).equals(pattern(1, 4096))).toBe(true)
    })
    const options = {
      allowDiscards: true,
      sameCpuCrypt: true,
      submitFromCryptCpus: true,
      noReadWorkqueue: true,
      noWriteWorkqueue: true,
      sectorSizeBytes: 4096,
      ivLargeSectors: true,
    }
    await roundTrip(scratch, crypt, { ...plain, ...options }, ({ table }) => {
      expect(table).toEqual({ ...plain, ...options })
    })
  })
})

test('the error of an invalid crypt table does not contain the key, and no device is left', async () => {
  scratch.log.allow(/device-mapper: /)
  await withDevices(scratch, [MiB], async ([device]) => {
    const key = randomBytes(32).toString('hex')
    const table = [crypt({ lengthSectors: 2048, cipher: 'no-such-cipher', key, device: device! })]
    for (const secureData of [false, true]) {
      const name = scratch.name('refused')
      const fault = await expectCode(MappedDevice.create({ name, table, secureData }), 'DM_TABLE_REFUSED')
      expect(JSON.stringify([fault.message, fault.detail, fault.kernelReason])).not.toContain(key)
    }
  })
})

test('a crypt device with secureData is the same device', async () => {
  await withDevices(scratch, [MiB], async ([device]) => {
    const key = randomBytes(32).toString('hex')
    const table = [crypt({ lengthSectors: 2048, cipher: 'aes-cbc-essiv:sha256', key, device: device! })]
    const made = await MappedDevice.create({ name: scratch.name('secure'), table, secureData: true })
    expect(crypt.parseTable((await made.table())[0]!).key).toBe(key)
    await made.replaceTable(table, { secureData: true })
    await made.remove()
  })
})

test('a verity device returns data that matches its hashes, and fails to read other data', async () => {
  scratch.log.allow(/verity|I\/O error/)
  await withDevices(scratch, [8192, 4096], async ([dataDevice, hashDevice]) => {
    const data = pattern(9, 8192)
    await writeAt(nodeOf(dataDevice!), 0, data)
    const salt = randomBytes(16)
    const digest = (block: Buffer) => createHash('sha256').update(salt).update(block).digest()
    const hashes = Buffer.alloc(4096)
    digest(data.subarray(0, 4096)).copy(hashes, 0)
    digest(data.subarray(4096)).copy(hashes, 32)
    await writeAt(nodeOf(hashDevice!), 0, hashes)
    const table = {
      lengthSectors: 16,
      version: 1 as const,
      dataDevice: dataDevice!,
      hashDevice: hashDevice!,
      dataBlockBytes: 4096,
      hashBlockBytes: 4096,
      dataBlocks: 2,
      hashStartBlock: 0,
      algorithm: 'sha256',
      rootDigest: digest(hashes).toString('hex'),
      salt: salt.toString('hex'),
    }
    const readOnly = { readOnly: true }
    const options = { onCorruption: 'ignore_corruption' as const, ignoreZeroBlocks: true, checkAtMostOnce: true }
    await roundTrip(
      scratch,
      verity,
      { ...table, ...options },
      seen => {
        expect(seen.table).toEqual({ ...table, ...options })
      },
      readOnly,
    )
    const look = async (valid: boolean) =>
      roundTrip(
        scratch,
        verity,
        table,
        async seen => {
          expect(seen.table).toEqual(table)
          expect((await readAt(seen.device.path, 0, 4096)).equals(data.subarray(0, 4096))).toBe(true)
          const second = readAt(seen.device.path, 4096, 4096)
          if (valid) expect((await second).equals(data.subarray(4096))).toBe(true)
          else await expect(second).rejects.toMatchObject({ code: 'EIO' })
          expect(verity.parseStatus((await seen.device.status())[0]!)).toEqual({ valid })
        },
        { ...readOnly, reload: valid },
      )
    await look(true)
    await writeAt(nodeOf(dataDevice!), 4096, pattern(10, 4096))
    await look(false)
  })
})

test('an integrity device is formatted at its first load, and its status states its usable size', async () => {
  // Read-ahead comes to sectors that were never written, and so have no tag.
  scratch.log.allow(/Checksum failed/)
  await withDevices(scratch, [4 * MiB], async ([device]) => {
    const table = {
      lengthSectors: 1,
      device: device!,
      reservedSectors: 0,
      tagBytes: 4,
      mode: 'J' as const,
      internalHash: 'crc32c',
    }
    let lengthSectors = 0
    // Linux 6.12 prints journal_sectors after buffer_sectors, Linux 7.2 as the first option.
    const anyOrder = { fixedWords: 5 }
    await roundTrip(
      scratch,
      integrity,
      table,
      ({ table: read, status }) => {
        expect(read).toMatchObject(table)
        expect(status).toMatchObject({ mismatches: 0, recalculatedSectors: null })
        lengthSectors = status.providedDataSectors
      },
      anyOrder,
    )
    expect(lengthSectors).toBeGreaterThan(1)
    const whole = { ...table, lengthSectors }
    const writes = async ({ device: made }: { device: { path: string } }) => {
      await writeAt(made.path, 0, pattern(1, 4096))
      expect((await readAt(made.path, 0, 4096)).equals(pattern(1, 4096))).toBe(true)
    }
    await roundTrip(scratch, integrity, whole, writes, anyOrder)
    for (const mode of ['B', 'D'] as const) {
      const reads = ({ table: read }: { table: object }) => expect(read).toMatchObject({ mode, internalHash: 'crc32c' })
      await roundTrip(scratch, integrity, { ...whole, mode }, reads, anyOrder)
    }
  })
})
