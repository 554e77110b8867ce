// The page about the kernel: its pictures are what the script draws, and each function that it names has its link.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'

const docs = path.join(__dirname, '../../../docs')

test('the pictures are equal to the output of draw-kernel.mjs', () => {
  const script = path.join(docs, 'pictures/draw-kernel.mjs')
  const { status, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
})

test('each linked kernel name has one definition, which links to Linux 6.12', () => {
  const page = readFileSync(path.join(docs, 'how-it-works.md'), 'utf8')
  const defined = [...page.matchAll(/^\[`(\w+)`\]: (\S+)$/gm)].map(([, name, address]) => ({ name, address }))
  const used = new Set([...page.matchAll(/\[`(\w+)`\](?![(:])/g)].map(match => match[1]!))
  expect(used.size).toBeGreaterThan(50)
  expect(defined).toEqual(
    [...used].sort().map(name => ({ name, address: `https://elixir.bootlin.com/linux/v6.12/A/ident/${name}` })),
  )
})
