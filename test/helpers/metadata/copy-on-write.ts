// Changes of a mapping tree as the kernel makes them: the nodes from the root to the leaf are copied, the rest is shared.
import type { MetadataImage } from './image.js'

export class CopyOnWrite {
  readonly #image: MetadataImage
  #next: number

  /** `free`: the first of the blocks that nothing uses. */
  constructor(image: MetadataImage, free: number) {
    this.#image = image
    this.#next = free
  }

  /** Maps virtual block `key`, which must be mapped, to `data`. Returns the root of the changed tree. */
  remap(root: number, key: number, data: number): number {
    const block = this.#copy(root)
    const node = this.#image.node(block)
    let index = node.count - 1
    while (node.key(index) > key) index--
    if (node.leaf && node.key(index) !== key) throw new Error(`virtual block ${key} is not mapped`)
    this.#image.setValue(block, index, node.leaf ? data * 2 ** 24 : this.remap(node.blockNumber(index), key, data))
    return block
  }

  #copy(block: number): number {
    const copy = this.#next++
    this.#image.block(copy).set(this.#image.block(block))
    this.#image.view(copy).setBigUint64(8, BigInt(copy), true)
    this.#image.seal(copy)
    return copy
  }
}

/** All nodes of a mapping tree. */
export function nodesOf(image: MetadataImage, root: number): Set<number> {
  const found = new Set([root])
  const node = image.node(root)
  if (node.leaf) return found
  for (let i = 0; i < node.count; i++) for (const block of nodesOf(image, node.blockNumber(i))) found.add(block)
  return found
}
