// The end of the story: who has which blocks, and what was promised against what is there.
import type { SpaceStatus, VolumeUsage } from 'dm-thin'
import { bytes, type Sizes } from './ledger.mjs'

const WIDTH = 40

export interface Layer {
  readonly title: string
  readonly id: number
}

/** One bar per layer: `█` blocks of its own, `░` blocks that it shares. The whole width is the widest layer. */
export function drawLayers(layers: readonly Layer[], usage: readonly VolumeUsage[]): void {
  const byId = new Map(usage.map(each => [each.id, each]))
  const widest = Math.max(...usage.map(each => each.mappedBlocks), 1)
  console.log(`\n${'layer'.padEnd(16)}${'own'.padStart(6)}${'shared'.padStart(8)}`)
  for (const [index, layer] of layers.entries()) {
    // The chain is long and each of its links looks like the last: show its ends.
    if (index === 6 && layers.length > 12) console.log('   …')
    if (index >= 6 && index < layers.length - 3) continue
    const { exclusiveBlocks, sharedBlocks } = byId.get(layer.id)!
    const own = Math.ceil((exclusiveBlocks / widest) * WIDTH)
    const shared = Math.floor((sharedBlocks / widest) * WIDTH)
    const bar = '█'.repeat(own) + '░'.repeat(Math.min(shared, WIDTH - own))
    console.log(
      `${layer.title.padEnd(16)}${String(exclusiveBlocks).padStart(6)}${String(sharedBlocks).padStart(8)}  ${bar}`,
    )
  }
  console.log(`${' '.repeat(32)}█ own blocks   ░ shared with other layers`)
}

export function drawTotals(volumes: number, volumeBytes: number, data: SpaceStatus, sizes: Sizes): void {
  const promised = volumes * volumeBytes
  const line = (what: string, size: number) => console.log(`${what.padEnd(44)}${bytes(size).padStart(12)}`)
  console.log()
  line(`promised: ${volumes} volumes of ${bytes(volumeBytes)}`, promised)
  line('the pool could hold', data.totalBytes)
  line(`used: ${data.usedBlocks} blocks of ${bytes(data.blockBytes)}`, data.usedBytes)
  line('on disk, data and metadata together', sizes.onDiskBytes)
  console.log(
    `overcommitted ${(promised / data.totalBytes).toFixed(1)} times, and ${percent(sizes.onDiskBytes, promised)} of it is there`,
  )
}

const percent = (part: number, whole: number): string => `${((part / whole) * 100).toFixed(2)} %`
