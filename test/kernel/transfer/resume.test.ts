// Receives that are interrupted at each record and continue there.
import { ThinPool } from '../../../lib/entry/index.js'
import { interruptedReceives, receiveVolume, sendVolume } from '../../../lib/entry/transfer.js'
import { expectCode } from '../../helpers/errors/expect-code.js'
import { BLOCK, writeBlock } from '../../helpers/kernel/blocks.js'
import { useScratch } from '../../helpers/kernel/scratch.js'
import { bookmark } from '../../helpers/metadata/bookmark.js'
import { CHANGES, endOf, inTurn, othersIn, partsOf, withScene, type Scene } from '../../helpers/transfer/scene.js'
import { bytesOf, mappedBlocks, pieces, sha256 } from '../../helpers/transfer/volumes.js'

const scratch = useScratch()
let counter = 0

const inScene = (body: (scene: Scene) => Promise<void>) => withScene(scratch.path(`resume-${++counter}.json`), body)

/** Receives until a number of records are written, and aborts. Returns what the receive can continue from. */
async function abortAfter({ to, base }: Scene, stream: Buffer, records: number) {
  const controller = new AbortController()
  const { source, onProgress } = inTurn(stream, count => {
    if (count === records) controller.abort()
  })
  const wanted = { base, saveEveryBytes: 1024 ** 2, onProgress, signal: controller.signal }
  await expectCode(receiveVolume(to, source, wanted), 'ABORT_ERR')
  const found = await interruptedReceives(to)
  expect(found).toHaveLength(1)
  return found[0]!
}

test('a receive that is aborted after any record continues from there, and the base stays as it was', () =>
  inScene(async scene => {
    const { to, from, base, changes, expected, tuesday } = scene
    const whole = await changes()
    const before = await sha256(base)
    for (let records = 1; records <= CHANGES; records++) {
      const { token, volume, offsetBytes } = await abortAfter(scene, whole, records)
      expect(await othersIn(scene)).toEqual({ unfinished: [volume], complete: [], notRecorded: [] })
      expect({ records, offsetBytes }).toEqual({ records, offsetBytes: endOf(partsOf(whole)[records]!) })
      const rest = await changes({ resume: token })
      expect(partsOf(rest)).toHaveLength(partsOf(whole).length - records)
      const copy = await receiveVolume(to, pieces(rest))
      expect(await sha256(copy)).toBe(expected)
      expect(copy.origin).toBe(base.id)
      expect(await mappedBlocks(to, copy.id)).toEqual(await mappedBlocks(from, tuesday.id))
      expect(await othersIn(scene)).toEqual({ unfinished: [], complete: [copy.id], notRecorded: [] })
      expect(await interruptedReceives(to)).toEqual([])
      await copy.delete()
    }
    expect(await sha256(base)).toBe(before)
  }))

test('a stream that ends after any byte of its records is continued, again and again, until it is whole', () =>
  inScene(async scene => {
    const { to, base, changes, expected } = scene
    let options = {}
    let offset = 0
    for (let round = 0; ; round++) {
      const stream = await changes(options)
      if (round === 4) {
        expect(await sha256(await receiveVolume(to, pieces(stream), { base }))).toBe(expected)
        break
      }
      // One chunk more each time.
      const cut = pieces(stream.subarray(0, stream.length - (CHANGES - 1 - round) * (BLOCK + 56) - 57))
      const fault = await expectCode(receiveVolume(to, cut, { base, saveEveryBytes: BLOCK }), 'DM_TRANSFER_INVALID')
      expect(fault).toMatchObject({ detail: 'truncated' })
      const [found] = await interruptedReceives(to)
      expect(found!.offsetBytes).toBeGreaterThanOrEqual(offset)
      offset = found!.offsetBytes
      options = { resume: found!.token }
    }
  }))

test('a receive continues after clean stops of both pools, and with a bookmark in place of the base', () => {
  const record = scratch.path(`resume-${++counter}.json`)
  return withScene(record, async scene => {
    const { to, toFiles, from, monday, tuesday, changes, expected } = scene
    const file = scratch.path('monday.bookmark')
    await bookmark(from, monday, file)
    const { token } = await abortAfter(scene, await changes(), 3)
    await to.remove({ deactivate: true })
    await monday.delete()
    const again = await ThinPool.open({ ...toFiles.reopen, record, activate: 'recorded' })
    expect((await interruptedReceives(again)).map(found => found.token)).toEqual([token])
    const rest = await bytesOf(await sendVolume(from, tuesday, { from: file, resume: token }))
    expect(await sha256(await receiveVolume(again, pieces(rest)))).toBe(expected)
    await again.close()
  })
})

test('a token of another stream is refused by the sender and by the receiver', () =>
  inScene(async scene => {
    const { from, to, volume, monday, tuesday, base, changes } = scene
    const { token } = await abortAfter(scene, await changes(), 2)
    const refused = async (call: Promise<unknown>, detail: string) =>
      expect(await expectCode(call, 'DM_TRANSFER_INVALID')).toMatchObject({ detail })
    const wednesday = await volume.snapshot()
    await refused(sendVolume(from, wednesday, { from: monday, resume: token }), 'resume')
    await refused(sendVolume(from, tuesday, { from: wednesday, resume: token }), 'resume')
    await refused(sendVolume(from, tuesday, { resume: token }), 'resume')
    await refused(sendVolume(to, base, { from: base, resume: token }), 'resume')
    await refused(sendVolume(from, tuesday, { from: monday, resume: 'x' }), 'resume')
    await expectCode(sendVolume(from, tuesday, { from: monday, resume: 1 as never }), 'DM_INVALID_ARGUMENT')

    // The receiver has less than the token says, another base, or nothing of this stream.
    const rest = await changes({ resume: token })
    const forged = Buffer.from(token, 'base64url')
      .toString()
      .replace(/"offset":\d+/, `"offset":${60 * BLOCK}`)
    const beyond = await changes({ resume: Buffer.from(forged).toString('base64url') })
    await refused(receiveVolume(to, pieces(beyond)), 'resume')
    const other = await receiveVolume(to, await sendVolume(from, monday))
    await refused(receiveVolume(to, pieces(rest), { base: other }), 'base')
    const [found] = await interruptedReceives(to)
    await (await to.volume(found!.volume)).delete()
    await refused(receiveVolume(to, pieces(rest)), 'resume')
    expect(await interruptedReceives(to)).toEqual([])
  }))

test('an interrupted volume that was activated for writing since is refused, and not listed any more', () =>
  inScene(async scene => {
    const { to, changes } = scene
    const { token, volume } = await abortAfter(scene, await changes(), 2)
    const rest = await changes({ resume: token })
    const partial = await to.volume(volume)
    await partial.activate({ readOnly: true })
    await partial.deactivate()
    expect(await interruptedReceives(to)).toHaveLength(1)
    await partial.activate()
    await writeBlock(partial.path, 0, 7)
    await partial.deactivate()
    const fault = await expectCode(receiveVolume(to, pieces(rest)), 'DM_TRANSFER_INVALID')
    expect(fault).toMatchObject({ detail: 'resume-modified' })
    expect(await interruptedReceives(to)).toEqual([])
    await partial.delete()
  }))

test('a full stream continues too, and other receives leave what was interrupted', () =>
  inScene(async scene => {
    const { from, to, tuesday, base, changes, expected } = scene
    const whole = await bytesOf(await sendVolume(from, tuesday))
    const cut = pieces(whole.subarray(0, whole.length - 2 * BLOCK))
    await expectCode(receiveVolume(to, cut, { saveEveryBytes: BLOCK }), 'DM_TRANSFER_INVALID')
    const other = await receiveVolume(to, pieces(await changes()), { base })
    const [found] = await interruptedReceives(to)
    expect(found!.sizeBytes).toBe(tuesday.sizeBytes)
    const rest = await bytesOf(await sendVolume(from, tuesday, { resume: found!.token }))
    const copy = await receiveVolume(to, pieces(rest))
    for (const each of [copy, other]) expect(await sha256(each)).toBe(expected)
    expect(await mappedBlocks(to, copy.id)).toEqual(await mappedBlocks(from, tuesday.id))
  }))
