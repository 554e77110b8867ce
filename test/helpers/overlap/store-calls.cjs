// The calls of a layer store that two processes make at the same time, and the codes with which each may be rejected because
// of the other. The scene: a committed layer `base`, its committed child `leaf`, and its active child `work`. `makes` and
// `removes`: the layers that a call that succeeds makes and removes.
'use strict'

const { createReadStream, readFileSync, rmSync, writeFileSync } = require('node:fs')
const path = require('node:path')

/** Another call has removed the layer. */
const GONE = ['DM_LAYER_NOT_FOUND']
/** Another call commits it, or needs it. */
const STATE = ['DM_LAYER_STATE']
const TAKEN = ['DM_LAYER_EXISTS']
const CHILDREN = ['DM_LAYER_HAS_CHILDREN']

module.exports = ({ LayerStore }) => {
  const read = folder => readFileSync(path.join(folder, 'content'), 'utf8')
  const write = folder => writeFileSync(path.join(folder, 'more'), 'more')
  const STORE = {
    prepare: {
      codes: [...GONE, ...STATE, ...TAKEN],
      makes: ['new'],
      run: async ({ store }) => void (await store.prepare('new', 'leaf')),
    },
    'prepare without a parent': {
      codes: TAKEN,
      makes: ['empty'],
      run: async ({ store }) => void (await store.prepare('empty')),
    },
    view: {
      codes: [...GONE, ...STATE, ...TAKEN],
      makes: ['seen'],
      run: async ({ store }) => void (await store.view('seen', 'leaf')),
    },
    commit: {
      codes: [...GONE, ...STATE, ...TAKEN],
      makes: ['done'],
      removes: ['work'],
      run: ({ store }) => store.commit('done', 'work'),
    },
    checkpoint: {
      codes: [...GONE, ...STATE, ...TAKEN],
      makes: ['point'],
      run: ({ store }) => store.checkpoint('point', 'work'),
    },
    fork: {
      codes: [...GONE, ...STATE, ...TAKEN],
      makes: ['fork', 'twin'],
      run: async ({ store }) => void (await store.fork('work', ['twin'], { name: 'fork' })),
    },
    resize: {
      codes: [...GONE, ...STATE, 'DM_BUSY'],
      run: ({ store }, { layerBytes }) => store.resize('work', { sizeBytes: layerBytes }),
    },
    reset: {
      codes: [...GONE, ...STATE, 'DM_BUSY'],
      run: ({ store }) => store.reset('work'),
    },
    importRaw: {
      codes: TAKEN,
      makes: ['raw'],
      run: ({ store, tar }) => store.importRaw('raw', tar, { sizeBytes: 2 ** 20 }),
    },
    remove: {
      codes: [...GONE, ...STATE, ...CHILDREN],
      removes: ['leaf'],
      run: ({ store }) => store.remove('leaf'),
    },
    'remove an active layer': {
      codes: [...GONE, ...STATE],
      removes: ['work'],
      run: ({ store }) => store.remove('work'),
    },
    mounts: { codes: [...GONE, ...STATE], run: async ({ store }) => void (await store.mounts('work')) },
    'write to a layer': {
      codes: [...GONE, ...STATE],
      run: ({ store }) => store.withMounted('work', async folder => write(folder)),
    },
    'read a committed layer': {
      codes: [...GONE, ...STATE],
      run: ({ store }) => store.withMounted('leaf', async folder => void read(folder)),
    },
    update: {
      codes: [...GONE, ...STATE],
      run: async ({ store }) => void (await store.update('work', { setLabels: { a: 'b' } })),
    },
    usage: { codes: [...GONE, ...STATE], run: async ({ store }) => void (await store.usage('work')) },
    cleanup: { codes: [], run: async ({ store }) => void (await store.cleanup()) },
    prune: {
      codes: [],
      prunes: true,
      run: async ({ store }) => void (await store.prune({ keep: ['base'] })),
    },
    importImage: {
      codes: [],
      makes: ['image'],
      run: async ({ store, image }) => void (await store.importImage(image)),
    },
    applyLayer: {
      codes: [...GONE, ...STATE],
      run: async ({ store, tar }) => void (await store.applyLayer('work', createReadStream(tar))),
    },
    warm: {
      codes: [...GONE, ...STATE],
      run: async ({ store }) => {
        await store.warm('leaf', 1)
        await store.warm('leaf', 0)
      },
    },
    queries: {
      codes: [...GONE, ...STATE, 'DM_METADATA_BUSY'],
      run: async ({ store }) => {
        await store.status()
        await store.space()
        await store.verify()
        await store.stat('work')
      },
    },
    'bookmark and changedSince': {
      codes: [...GONE, ...STATE],
      run: async ({ store }) => {
        const file = `/tmp/dm-thin-store-${process.pid}.bookmark`
        try {
          await store.bookmark('base', file)
          for await (const range of store.changedSince('work', file)) void range
        } finally {
          rmSync(file, { force: true })
        }
      },
    },
    grow: { codes: [], run: ({ store }, { dataBytes, metadataBytes }) => store.grow({ dataBytes, metadataBytes }) },
    'open and close': {
      codes: [],
      run: async ({ options }) => {
        const store = await LayerStore.open(options)
        await store.close()
        return store.findings.map(({ kind }) => kind)
      },
    },
  }
  /** Closes the store of the last scene, and opens that of the next, if there is one. */
  const scene = async (next, last) => {
    await last?.store.close()
    return next && { ...next, store: await LayerStore.open(next.options) }
  }
  // With each call goes the removal of the volumes that it leaves to the background.
  for (const call of Object.values(STORE)) {
    const { run } = call
    call.run = (actor, input) => run(actor, input).finally(() => actor.store.cleanup())
  }
  return { groups: { STORE }, scene }
}
