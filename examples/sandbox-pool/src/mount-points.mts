// The folders at which sandboxes are mounted, and what an earlier run has left of them.
import { mkdir, readdir, rmdir } from 'node:fs/promises'
import path from 'node:path'
import { DmThinError, unmount } from 'dm-thin'
import type { Layer } from 'dm-thin/store'

const EINVAL = 22

export class MountPoints {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  of(id: string): string {
    return path.join(this.#folder, id)
  }

  async mount(layer: Layer, id: string): Promise<string> {
    const target = this.of(id)
    await mkdir(target, { recursive: true })
    try {
      await layer.mount(target, { noSuid: true, noDev: true })
      return target
    } catch (fault) {
      await rmdir(target)
      throw fault
    }
  }

  /** `lazy`: also where a file of it is in use; out of sight at once, and let go with the last use. */
  async unmount(id: string, { lazy = false } = {}): Promise<void> {
    await unmount(this.of(id), { lazy })
    await rmdir(this.of(id))
  }

  /** Of a service that was killed. */
  async clear(): Promise<void> {
    await mkdir(this.#folder, { recursive: true })
    for (const id of await readdir(this.#folder)) {
      await unmount(this.of(id), { lazy: true }).catch((fault: unknown) => {
        if (!(fault instanceof DmThinError) || fault.errno !== EINVAL) throw fault // EINVAL: only a folder
      })
      await rmdir(this.of(id))
    }
  }
}
