// A directory of chunks, each a file named by its digest, and of manifests.
import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { access, link, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { fileFault } from '../../base/file-fault.js'
import { checkName, checkPath, invalid } from '../../base/options.js'
import type { ChunkStore, ManifestStore } from './chunk-store.js'
import { lockDirectory } from './directory-lock.js'

const DIGEST = /^[0-9a-f]{64}$/

/**
 * A store of chunks in a directory. Files are complete when they get their names: each is written under another name, flushed
 * and renamed, and a manifest gets its name when all chunks are on the disk. Several processes can use the same directory.
 */
export class ChunkDirectory implements ChunkStore {
  readonly #folder: string
  /** The folders with chunks that were added or found since they were flushed, with the number of the last one. */
  readonly #added = new Map<string, number>()
  #count = 0
  /** The manifests of the backups in the directory. */
  readonly manifests: ManifestStore

  private constructor(folder: string) {
    this.#folder = folder
    this.manifests = {
      put: (name, content) => this.#run(() => this.#putManifest(checkName(name), content)),
      get: name => this.#run(() => readIfThere(this.#pathOf('manifests', checkName(name)))),
      delete: name => this.#run(() => this.#delete(this.#pathOf('manifests', checkName(name)))),
      list: () => this.#manifestNames(),
    }
  }

  /**
   * Opens a directory, and creates it if it does not exist; its parent must exist. Rejects with `DM_FILE_MISSING`,
   * `DM_PERMISSION`, `DM_KERNEL`.
   */
  static async open(folder: string): Promise<ChunkDirectory> {
    const opened = new ChunkDirectory(path.resolve(checkPath('folder', folder)))
    await opened.#run(async () => {
      await mkdir(opened.#folder, { mode: 0o700 }).catch(unless('EEXIST'))
      for (const name of ['chunks', 'manifests', 'partial', 'running']) {
        await mkdir(opened.#pathOf(name), { mode: 0o700 }).catch(unless('EEXIST'))
      }
      await sync(opened.#folder)
    })
    return opened
  }

  /** Returns true if there is a chunk of this digest. Rejects with `DM_KERNEL`, `DM_PERMISSION`. */
  async has(digest: string): Promise<boolean> {
    const file = this.#chunk(digest)
    const isThere = await this.#run(() => access(file, constants.F_OK).then(() => true, unless('ENOENT')))
    // Another process may have added it just now: the manifest that names it must not be on the disk before it.
    if (isThere) this.#note(path.dirname(file))
    return isThere === true
  }

  /** Stores a chunk. Does nothing if it is there. Rejects with `DM_KERNEL`, `DM_PERMISSION`. */
  async put(digest: string, content: Uint8Array): Promise<void> {
    const file = this.#chunk(digest)
    if (await this.has(digest)) return
    await this.#run(async () => {
      await mkdir(path.dirname(file), { mode: 0o700 }).then(() => sync(this.#pathOf('chunks')), unless('EEXIST'))
      const partial = await this.#write(content)
      await rename(partial, file)
    })
    this.#note(path.dirname(file))
  }

  /** Returns a chunk; undefined if there is none of this digest. Rejects with `DM_KERNEL`, `DM_PERMISSION`. */
  async get(digest: string): Promise<Uint8Array | undefined> {
    const file = this.#chunk(digest)
    return this.#run(() => readIfThere(file))
  }

  /** Deletes a chunk, if there is one of this digest. Rejects with `DM_KERNEL`, `DM_PERMISSION`. */
  async delete(digest: string): Promise<void> {
    const file = this.#chunk(digest)
    return this.#run(() => rm(file, { force: true }))
  }

  /** Returns the digests of all chunks. */
  async *digests(): AsyncGenerator<string, void> {
    for (const name of await this.#run(() => readdir(this.#pathOf('chunks')))) {
      const found = await this.#run(() => readdir(this.#pathOf('chunks', name)))
      for (const digest of found) if (DIGEST.test(digest)) yield digest
    }
  }

  /**
   * Takes the lock of the directory, and returns the function that releases it. `shared`: waits while somebody has it
   * exclusively. `exclusive`: waits for all others, and deletes the files that killed processes have not completed. Rejects
   * with `ABORT_ERR`, `DM_KERNEL`, `DM_PERMISSION`.
   */
  async lock(mode: 'shared' | 'exclusive', signal?: AbortSignal): Promise<() => Promise<void>> {
    return this.#run(async () => {
      const release = await lockDirectory(this.#pathOf('running'), mode, signal)
      if (mode === 'shared') return release
      try {
        for (const name of await readdir(this.#pathOf('partial'))) await rm(this.#pathOf('partial', name))
        return release
      } catch (fault) {
        await release()
        throw fault
      }
    })
  }

  #pathOf(...names: string[]): string {
    return path.join(this.#folder, ...names)
  }

  #chunk(digest: string): string {
    if (typeof digest !== 'string' || !DIGEST.test(digest)) throw invalid('digest must have 64 hexadecimal digits')
    return this.#pathOf('chunks', digest.slice(0, 2), digest)
  }

  async #putManifest(name: string, content: Uint8Array): Promise<boolean> {
    const partial = await this.#write(content)
    try {
      await this.#syncChunks()
      const done = await link(partial, this.#pathOf('manifests', name)).then(() => true, unless('EEXIST'))
      if (done) await sync(this.#pathOf('manifests'))
      return done === true
    } finally {
      await rm(partial, { force: true })
    }
  }

  async #delete(file: string): Promise<void> {
    await rm(file, { force: true })
    await sync(path.dirname(file))
  }

  async *#manifestNames(): AsyncGenerator<string, void> {
    yield* await this.#run(() => readdir(this.#pathOf('manifests')))
  }

  /** Writes and flushes a file that has no name yet. */
  async #write(content: Uint8Array): Promise<string> {
    const partial = this.#pathOf('partial', randomUUID())
    const file = await open(partial, 'wx', 0o600)
    try {
      await file.writeFile(content)
      await file.datasync()
    } finally {
      await file.close()
    }
    return partial
  }

  #note(folder: string): void {
    this.#added.set(folder, ++this.#count)
  }

  async #syncChunks(): Promise<void> {
    for (const [folder, count] of [...this.#added]) {
      await sync(folder)
      if (this.#added.get(folder) === count) this.#added.delete(folder)
    }
  }

  async #run<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await body()
    } catch (fault) {
      throw fileFault('directory of chunks', this.#folder, fault)
    }
  }
}

/** Returns a handler that turns an error of this code into undefined. */
const unless =
  (code: string) =>
  (fault: NodeJS.ErrnoException): undefined => {
    if (fault.code !== code) throw fault
  }

const readIfThere = (file: string): Promise<Uint8Array | undefined> => readFile(file).catch(unless('ENOENT'))

async function sync(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
