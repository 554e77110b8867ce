// A layer's archive to unpack: made here, the same each time but for the bytes of its files.
import { randomFillSync } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'

const BLOCK = 512
const FILES_PER_FOLDER = 100
const MTIME_S = 1_700_000_000
const CONTENT_BYTES = 2 ** 20

/** A header of POSIX's ustar format. */
function header(name, { type, mode, size }) {
  const block = Buffer.alloc(BLOCK)
  const octal = (value, at, length) => block.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1')
  block.write(name, 0, 'latin1')
  octal(mode, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size, 124, 12)
  octal(MTIME_S, 136, 12)
  block.fill(' ', 148, 156)
  block.write(type, 156, 'latin1')
  block.write('ustar\0' + '00', 257, 'latin1')
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  )
  return block
}

/** The folder of the file with this number; of each the first has number 0, 100, 200 … */
function folderOf(index) {
  return `d${String(Math.floor(index / FILES_PER_FOLDER)).padStart(4, '0')}`
}

function nameOf(index) {
  return `${folderOf(index)}/f${String(index).padStart(6, '0')}`
}

/** `files` files from number `from` on, in folders of a hundred; their sizes go round from `least` to `most` KiB. */
export function writeArchive(path, { files, least, most, from = 0 }) {
  const content = randomFillSync(Buffer.allocUnsafe(CONTENT_BYTES))
  const padding = Buffer.alloc(BLOCK)
  const out = openSync(path, 'w')
  const put = bytes => writeSync(out, bytes)
  for (let index = from; index < from + files; index++) {
    if (index % FILES_PER_FOLDER === 0) put(header(`${folderOf(index)}/`, { type: '5', mode: 0o755, size: 0 }))
    const size = (least + (index % (most - least + 1))) * 1024 - (index % 7)
    put(header(nameOf(index), { type: '0', mode: 0o644, size }))
    for (let left = size; left > 0; left -= CONTENT_BYTES) put(content.subarray(0, Math.min(left, CONTENT_BYTES)))
    if (size % BLOCK > 0) put(padding.subarray(size % BLOCK))
  }
  put(padding)
  put(padding)
  closeSync(out)
}
