// The calls of `LayerStore` that copy layers in use.
import { randomUUID } from 'node:crypto'
import { throwIfAborted } from '../base/errors.js'
import { checkOptions, invalid } from '../base/options.js'
import type { CommitOptions, ForkOptions, ForkResult } from './call-options.js'
import { checkKey, checkLabels } from './common/options.js'
import { LayerStoreBase } from './layer-store-base.js'
import { checkpoint } from './layers/checkpoint.js'
import { fork } from './layers/fork.js'
import { Layer } from './layers/layer.js'

/** The limit of layers that one call of `fork` makes. One transaction makes them visible. */
const MOST_FORKS = 1_000

/** The part of `LayerStore` that makes layers of layers in use. */
export abstract class LayerStoreForks extends LayerStoreBase {
  /**
   * Creates a committed layer with the content of an active layer, which stays active and in use. A mounted file system is
   * frozen while the snapshot is taken, so that the new layer has the content of one moment. A raw layer has the content of
   * its device at one moment, as after a loss of power. The new layer has the parent of the active layer.
   *
   * Rejects with `DM_LAYER_NOT_FOUND`, `DM_LAYER_EXISTS` (the name), `DM_LAYER_STATE` (the layer is not active),
   * `DM_LAYER_DAMAGED` (its file system has errors), `DM_POOL_FULL`, `DM_POOL_READ_ONLY`, `DM_POOL_FAILED`,
   * `DM_POOL_WORN`, `ABORT_ERR`. If the call rejects, it leaves nothing behind.
   */
  async checkpoint(name: string, key: string, options: CommitOptions = {}): Promise<void> {
    checkOptions(options, ['labels', 'signal'], 'checkpoint')
    const [to, from] = [checkKey('name', name), checkKey('key', key)]
    const labels = checkLabels(options.labels ?? {})
    throwIfAborted(options.signal)
    await this.alone([to, from], () => checkpoint(this.store, from, { name: to, labels, signal: options.signal }))
  }

  /**
   * Forks an active layer that stays in use: creates a checkpoint of it, and an active layer on the checkpoint for each of
   * `keys`, 1 to 1000. The layer is suspended once, whatever the number of keys. All layers appear at the same time, or
   * none: also if this process dies. When the promise resolves, their devices exist and everything is committed.
   *
   * Rejects as `checkpoint` does, and with `DM_LAYER_EXISTS` (one of the keys).
   */
  async fork(key: string, keys: readonly string[], options: ForkOptions = {}): Promise<ForkResult> {
    checkOptions(options, ['name', 'labels', 'onProgress', 'signal'], 'fork')
    const from = checkKey('key', key)
    if (!Array.isArray(keys) || keys.length === 0 || keys.length > MOST_FORKS)
      throw invalid(`keys must be a list of 1 to ${MOST_FORKS} keys`)
    keys.forEach((each, at) => checkKey(`keys[${at}]`, each))
    const name = checkKey('name', options.name ?? `${from}@${randomUUID()}`)
    const all = [name, from, ...(keys as readonly string[])]
    if (new Set(all).size < all.length) throw invalid('keys, key and name must differ from each other')
    const labels = checkLabels(options.labels ?? {})
    const { onProgress, signal } = options
    throwIfAborted(signal)
    const forked = await this.alone(all, () => fork(this.store, from, { name, keys, labels, onProgress, signal }))
    return { name, layers: forked.map(({ row, path }) => new Layer(row, path)) }
  }
}
