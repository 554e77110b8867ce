// The object for one layer: its device, its mount arguments, and mounting.
import { DmThinError } from '../../base/errors.js'
import { unmount, type MountFlags } from '../../filesystem/mount.js'
import { checkOptions, checkPath, type SignalOption } from '../../base/options.js'
import { mountLayer, mountOf } from '../engine/temporary-mounts.js'
import type { Row } from '../records/row.js'
import type { LayerMount } from '../common/layer-types.js'

/** Options of `Layer.mount`. */
export interface MountLayerOptions extends MountFlags, SignalOption {}

/** A layer of a store, with its block device and its mounts. */
export class Layer {
  /** The key of an active layer or a view, or the name of a committed layer. */
  readonly key: string
  /** The name of the parent; `''` if the layer has no parent. */
  readonly parent: string
  /** The path of the layer's block device, such as `/dev/dm-7`. */
  readonly device: string
  /** The arguments of mount(2) for the layer. Empty for a raw layer. */
  readonly mounts: readonly LayerMount[]

  /** @internal Layers are created by a store. */
  constructor(row: Row, device: string) {
    this.key = row.key ?? ''
    this.parent = row.parentKey
    this.device = device
    this.mounts = row.raw ? [] : [mountOf(row, device)]
  }

  /**
   * Mounts the layer at an existing folder, with mount(2), until `unmount` or umount2(2). A layer can be mounted at several
   * folders. Rejects as `mount()` does, and with `DM_LAYER_STATE` if the layer is raw.
   */
  async mount(target: string, options: MountLayerOptions = {}): Promise<void> {
    checkOptions(options, ['readOnly', 'noAtime', 'noSuid', 'noDev', 'noExec', 'signal'], 'mount')
    checkPath('target', target)
    if (this.mounts.length === 0) throw new DmThinError('DM_LAYER_STATE', `layer ${JSON.stringify(this.key)} is raw`)
    for (const each of this.mounts) await mountLayer(each, target, options)
  }

  /** Unmounts the layer from `target`. Rejects with `DM_BUSY`, with `holders`, while a file below `target` is in use. */
  async unmount(target: string, options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'unmount')
    await unmount(target, options)
  }
}
