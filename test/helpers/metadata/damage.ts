// Damage to the metadata file of a pool at rest, one kind for each state in which a check may find it.
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { blockChecksum } from '../../../lib/metadata/crc32c.js'
import { MetadataImage } from './image.js'

/** Of the checksum of a bitmap block. */
const BITMAP_SALT = 240779

/** The first bitmap of the space map of the data: the value of the first entry of its tree. */
function dataBitmap(image: MetadataImage): number {
  const root = image.view(image.superblock.dataSpaceMap.bitmapRoot)
  return Number(root.getBigUint64(32 + 8 * root.getUint32(20, true), true))
}

/** Sets the two bits of a data block in the space map: 0 is free, 2 (swapped on disk) is used once. */
function setCount(image: MetadataImage, dataBlock: number, bits: bigint): void {
  const block = dataBitmap(image)
  const view = image.view(block)
  const offset = 16 + 8 * Math.floor(dataBlock / 32)
  const shift = BigInt(2 * (dataBlock % 32))
  view.setBigUint64(offset, (view.getBigUint64(offset, true) & ~(3n << shift)) | (bits << shift), true)
  view.setUint32(0, blockChecksum(image.block(block), BITMAP_SALT), true)
}

const trash = (image: MetadataImage, block: number): void => void image.block(block).fill(0x5a, 100, 1000)

const edit = (change: (image: MetadataImage) => void) => (file: string) => {
  const image = new MetadataImage(file)
  change(image)
  writeFileSync(file, image.bytes)
}

/** Each damages a metadata file in place. `volume`: by its position among the ids. */
export const DAMAGE = {
  needsCheck: edit(image => {
    image.view(0).setUint32(4, 1, true)
    image.seal(0)
  }),
  superblockBit: edit(image => (image.block(0)[3000] = 1)),
  superblockZero: edit(image => image.block(0).fill(0)),
  version: edit(image => {
    image.view(0).setUint32(40, 3, true)
    image.seal(0)
  }),
  short: (file: string) => truncateSync(file, readFileSync(file).length / 2),
  wiped: (file: string) => {
    const { length } = readFileSync(file)
    truncateSync(file, 0)
    truncateSync(file, length)
  },
  bitmap: edit(image => trash(image, dataBitmap(image))),
  volumesRoot: edit(image => trash(image, image.superblock.dataMappingRoot)),
  leaf: (file: string, volume: number) => edit(image => trash(image, image.mappingRoot(volume)))(file),
  details: edit(image => trash(image, image.superblock.deviceDetailsRoot)),
  leak: edit(image => setCount(image, 500, 2n)),
  countTooLow: edit(image => setCount(image, 0, 0n)),
} as const
