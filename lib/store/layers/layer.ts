// A layer in a caller's hands: where it is, and mounting it.
import { DmThinError } from '../../base/errors.js'
import { unmount, type MountFlags } from '../../filesystem/mount.js'
import { checkOptions, checkPath, type SignalOption } from '../../base/options.js'
import { mountLayer, mountOf } from '../engine/temporary-mounts.js'
import type { Row } from '../records/row.js'
import type { LayerMount } from '../common/types.js'

/** Options of `Layer.mount`. */
export interface MountLayerOptions extends MountFlags, SignalOption {}

/** A layer of a store, with its block device and its mounts. */
export class Layer {
  /** The key of the layer. */
  readonly key: string
  /** `''` if it has no parent. */
  readonly parent: string
  /** Its block device, as `/dev/dm-7`. */
  readonly device: string
  /** What mount(2) needs for it. Empty for a raw layer. */
  readonly mounts: readonly LayerMount[]

  /** @internal Layers come from a store. */
  constructor(row: Row, device: string) {
    this.key = row.key ?? ''
    this.parent = row.parentKey
    this.device = device
    this.mounts = row.raw ? [] : [mountOf(row, device)]
  }

  /**
   * Mounts it at an existing folder, by mount(2), until `unmount` or umount2(2) of it. Rejects as `mount()` does.
   * One layer can be mounted at several places. `DM_LAYER_STATE` for a raw layer.
   */
  async mount(target: string, options: MountLayerOptions = {}): Promise<void> {
    checkOptions(options, ['readOnly', 'noAtime', 'noSuid', 'noDev', 'noExec', 'signal'], 'mount')
    checkPath('target', target)
    if (this.mounts.length === 0) throw new DmThinError('DM_LAYER_STATE', `layer ${JSON.stringify(this.key)} is raw`)
    for (const each of this.mounts) await mountLayer(each, target, options)
  }

  /** Unmounts what is mounted at `target`. `DM_BUSY` while a file below it is in use, with `holders`. */
  async unmount(target: string, options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'unmount')
    await unmount(target, options)
  }
}
