// The tree of a store's layers: each layer below its parent.
import type { LayerInfo } from '../entry/store.js'
import { nameText, sizeText } from './common/output.js'

export interface LayerTree extends Omit<LayerInfo, 'parent'> {
  readonly children: readonly LayerTree[]
}

/** Returns the layers without a parent, each with its descendants. */
export function layerTrees(layers: readonly LayerInfo[]): LayerTree[] {
  const byParent = new Map<string, LayerInfo[]>()
  for (const layer of layers) byParent.set(layer.parent, [...(byParent.get(layer.parent) ?? []), layer])
  // The deepest layers are first. There is no recursion, because a chain may have thousands of layers.
  const order = [...(byParent.get('') ?? [])]
  for (const layer of order) order.push(...(byParent.get(layer.key) ?? []))
  const trees = new Map<string, LayerTree>()
  for (const { parent: _, ...layer } of order.reverse()) {
    const children = (byParent.get(layer.key) ?? []).map(({ key }) => trees.get(key)!)
    trees.set(layer.key, { ...layer, children })
  }
  return (byParent.get('') ?? []).map(({ key }) => trees.get(key)!)
}

/**
 * Formats trees:
 *
 *     base committed, 10 GiB ext4
 *     ├─ web-1 active, 20 GiB ext4
 *     └─ tools committed, 10 GiB ext4
 *        └─ look view, 10 GiB ext4
 */
export function treeText(trees: readonly LayerTree[]): string {
  const lines: string[] = []
  // A stack instead of recursion, with the next item on top.
  const rest = trees.map(tree => ({ tree, head: '', tail: '' })).reverse()
  for (let next = rest.pop(); next; next = rest.pop()) {
    const { tree, head, tail } = next
    lines.push(head + label(tree))
    const last = tree.children.length - 1
    const below = tree.children.map((child, at) => {
      const [fork, line] = at === last ? ['└─ ', '   '] : ['├─ ', '│  ']
      return { tree: child, head: tail + fork, tail: tail + line }
    })
    rest.push(...below.reverse())
  }
  return lines.join('\n')
}

const label = ({ key, kind, sizeBytes, fileSystem, raw }: LayerTree): string =>
  `${nameText(key)} ${kind}, ${sizeText(sizeBytes)} ${raw ? 'raw' : fileSystem}`
