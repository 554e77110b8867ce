// Layers and values for the tests of filters.
import type { LayerInfo } from '../../../lib/store/common/layer-types.js'

/** Returns a layer of 1 GiB with no parent and no labels, unless `more` has them. */
export const layer = (key: string, more: Partial<LayerInfo> = {}): LayerInfo => ({
  key,
  parent: '',
  kind: 'active',
  createdAt: 1n,
  updatedAt: 1n,
  labels: {},
  sizeBytes: 2 ** 30,
  fileSystem: 'ext4',
  raw: false,
  ...more,
})

/** Returns `value` in double quotes, each character as it is or in one of Go's escapes for it. */
export function quoted(value: string, escaped: readonly boolean[] = [false]): string {
  const characters = [...value].map((character, index) => {
    const code = character.codePointAt(0)!
    const plain = !/["\\\n\0\ufffd]/.test(character)
    if (plain && !escaped[index % escaped.length]) return character
    if (code < 0x80) return `\\${code.toString(8).padStart(3, '0')}`
    return `\\U${code.toString(16).padStart(8, '0')}`
  })
  return `"${characters.join('')}"`
}
