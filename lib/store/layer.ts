// A layer in a caller's hands: where it is, and mounting it.
import { unmount, type MountFlags } from '../index.js'
import { checkOptions, checkPath, type SignalOption } from '../names.js'
import { mountLayer } from './mounted.js'
import type { LayerMount } from './types.js'

export interface MountLayerOptions extends MountFlags, SignalOption {}

export class Layer {
  readonly key: string
  /** `''` where it stands on nothing. */
  readonly parent: string
  /** What mount(2) needs for it. */
  readonly mounts: readonly LayerMount[]

  /** @internal Layers come from a store. */
  constructor(key: string, parent: string, mounts: readonly LayerMount[]) {
    this.key = key
    this.parent = parent
    this.mounts = mounts
  }

  /**
   * Mounts it at an existing folder, by mount(2), until `unmount` or umount2(2) of it. Rejects as `mount()` does.
   * One layer can be mounted at several places.
   */
  async mount(target: string, options: MountLayerOptions = {}): Promise<void> {
    checkOptions(options, ['readOnly', 'noAtime', 'noSuid', 'noDev', 'noExec', 'signal'], 'mount')
    checkPath('target', target)
    for (const each of this.mounts) await mountLayer(each, target, options)
  }

  /** Unmounts what is mounted at `target`. `DM_BUSY` while a file below it is in use, with `holders`. */
  async unmount(target: string, options: SignalOption = {}): Promise<void> {
    checkOptions(options, ['signal'], 'unmount')
    await unmount(target, options)
  }
}
