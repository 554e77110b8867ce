// A base layer, a writable layer on it that shares its blocks, and everything removed again.
import { rm, writeFile } from 'node:fs/promises'
import { LayerStore } from 'dm-thin/store'

const store = await LayerStore.open({ directory: 'first-layers' }) // its pool is two sparse files in there
await store.prepare('building')
await store.withMounted('building', folder => writeFile(`${folder}/hello`, 'from the base'))
await store.commit('base', 'building')
const web = await store.prepare('web-1', 'base') // a writable layer on it, no bytes copied
console.log(web.mounts[0]) // what mount(2) needs; web.mount('/run/web-1') mounts it
await store.takeDown() // its devices; the records and the two files are left
await rm('first-layers', { recursive: true })
