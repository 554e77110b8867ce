// A base layer, a writable layer on it that shares its blocks, and everything removed again.
import { rm, writeFile } from 'node:fs/promises'
import { LayerStore } from 'dm-thin/store'

const store = await LayerStore.open({ directory: 'first-layers' }) // creates a pool on two sparse files in it
await store.prepare('building')
await store.withMounted('building', folder => writeFile(`${folder}/hello`, 'from the base'))
await store.commit('base', 'building')
const web = await store.prepare('web-1', 'base') // a writable layer on top, no bytes copied
console.log(web.mounts[0]) // the arguments of mount(2); web.mount('/run/web-1') mounts it
await store.takeDown() // removes the devices; the records and the two files stay
await rm('first-layers', { recursive: true })
