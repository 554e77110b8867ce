// VitePress's own theme with the fonts of the reader's machine, and diagrams.
import mermaidUrl from '@mermaid-js/tiny/dist/mermaid.tiny.js?url'
import { onContentUpdated } from 'vitepress'
import DefaultTheme from 'vitepress/theme-without-fonts'

/** Loaded by the first page that has a diagram. */
let loaded

function load() {
  loaded ??= new Promise((resolve, reject) => {
    const script = document.createElement('script')
    script.src = mermaidUrl
    script.onload = () => resolve(globalThis.mermaid)
    script.onerror = reject
    document.head.append(script)
  })
  return loaded
}

async function drawDiagrams() {
  const nodes = document.querySelectorAll('pre.mermaid:not([data-processed])')
  if (nodes.length === 0) return
  const mermaid = await load()
  mermaid.initialize({ startOnLoad: false, theme: 'neutral' })
  await mermaid.run({ nodes })
}

export default {
  extends: DefaultTheme,
  setup() {
    onContentUpdated(drawDiagrams)
  },
}
