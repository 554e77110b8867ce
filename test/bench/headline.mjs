// The first page: ten rows, each beside its floor in C and beside what people use, as a table and as two pictures.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { barChart } from './chart.mjs'
import { kindsOf, machinesText, resultOf, titleOf } from './results.mjs'
import { ratio, readable } from './stats.mjs'
import { tableText } from './table.mjs'

/** `floor`: the C program that makes the same calls of the kernel. `used`: what people use for it. */
const HEADLINE = [
  { name: 'message', text: 'snapshot of an inactive volume', floor: 'c-locks', used: 'dmsetup' },
  { name: 'snapshot-ready', text: 'snapshot of a volume in use, activated', floor: 'c-async', used: 'dmsetup' },
  { name: 'activate', text: 'activation', floor: 'c-locks', used: 'dmsetup' },
  { name: 'activate-64', text: '64 activations at once, each', floor: 'c-64', used: 'dmsetup' },
  { name: 'remove', text: 'deactivation', floor: 'c-locks', used: 'dmsetup' },
  { name: 'remove-64', text: '64 deactivations at once, each', floor: 'c-64', used: 'dmsetup' },
  { name: 'prepare', text: 'a layer of the store', floor: 'c-record', used: 'containerd' },
  { name: 'prepare-100', text: '100 layers at once, each', floor: 'c-record-64', used: 'containerd' },
  { name: 'fork-1000', text: '1 000 forks of a disk in use, each', floor: 'c-64', used: 'xfs' },
  { name: 'fork-gone', text: 'their removal, each', floor: 'c-64', used: 'xfs' },
]
const LABELS = { xfs: 'XFS, reflink' }
const PICTURES = [
  { file: 'volumes.svg', title: 'Volumes: time of one call', used: ['dmsetup'] },
  { file: 'layers.svg', title: 'Layers and forks: time for each', used: ['containerd', 'xfs'] },
]

const labelOf = used => LABELS[used] ?? used

/** The rows that were measured on one kind of machine: the kind that has most of them. */
function shown(all) {
  const byKind = kindsOf(all).map(kind => {
    const rows = HEADLINE.map(row => ({ ...row, result: resultOf(all, row.name, kind) }))
    return { kind, rows: rows.filter(({ result }) => typeof result?.ours === 'number') }
  })
  return byKind.reduce((most, each) => (each.rows.length > most.rows.length ? each : most), { kind: '', rows: [] })
}

const times = ({ unit, peers }, label) => (label in peers ? `${readable(peers[label])} ${unit}` : 'not measured')
const share = (of, by) => (of === undefined || by === undefined ? '' : `${ratio(of / by)} ×`)

/** "from 0.89 to 1.69" */
function span(values) {
  const known = values.filter(value => Number.isFinite(value))
  return `from ${ratio(Math.min(...known))} to ${ratio(Math.max(...known))}`
}

/** The table of the first page, and what it says in words. */
export function headlineLines(all) {
  const { kind, rows } = shown(all)
  if (rows.length === 0) return ['Nothing was measured.']
  const cells = rows.map(({ name, text, floor, used, result }) => [
    `\`${name}\`: ${text}`,
    `**${readable(result.ours)} ${result.unit}**`,
    `\`${floor}\` ${times(result, floor)}`,
    share(result.ours, result.peers[floor]),
    `${labelOf(used)} ${times(result, used)}`,
    share(result.peers[used], result.ours),
  ])
  return [
    `In these rows dm-thin takes ${span(rows.map(({ result, floor }) => result.ours / result.peers[floor]))} times as long as a C program`,
    'that makes the same calls of the kernel. What people use today takes',
    `${span(rows.map(({ result, used }) => result.peers[used] / result.ours))} times as long as dm-thin.`,
    '',
    ...tableText(['', 'dm-thin', 'the floor in C', 'dm-thin / C', 'in use today', 'it / dm-thin'], cells),
    '',
    `Measured in ${titleOf(kind)} (${machinesText([...new Set(rows.map(({ result }) => all.runs[result.run]))])}).`,
    'It is a virtual machine, and the files of the pool are in memory: the ratios count, and not the times.',
    '`dmsetup` removes a device without the suspend without which',
    '[some kernels panic](kernel-versions.md#use-after-free-in-the-kernel-volumes-removed-at-the-same-time).',
  ]
}

/** How long a start takes on the machine itself. */
export function startLines(all) {
  const names = ['start-index', 'start-store', 'start-help']
  const kind = kindsOf(all).find(each => names.every(name => resultOf(all, name, each)?.peers.node))
  if (kind === undefined) return []
  const [index, store, help] = names.map(name => resultOf(all, name, kind))
  const longer = (ms, peer) => `${readable(ms - index.peers.node)} ms longer with \`${peer}\``
  const { node, ...others } = index.peers
  const beside = Object.entries(others).map(([label, ms]) => longer(ms, label))
  return [
    `On the machine itself, a start takes ${longer(index.ours, 'dm-thin')} and ${longer(store.ours, 'dm-thin/store')}`,
    `than bare Node (${readable(node)} ms). ${beside.length > 0 ? `It takes ${beside.join(' and ')}. ` : ''}\`dm-thin --help\` takes ${share(help.ours, node)} bare Node.`,
    '',
  ]
}

/** Draws the rows into a folder. @returns {{ file: string, title: string }[]} what was drawn */
export function draw(all, folder) {
  const { kind, rows } = shown(all)
  return PICTURES.flatMap(({ file, title, used: some }) => {
    const groups = rows
      .filter(({ used }) => some.includes(used))
      .map(({ name, floor, used, result: { ours, peers } }) => ({
        label: name,
        bars: [
          { series: 'dm-thin', value: ours },
          { series: 'the floor in C', value: peers[floor] },
          { series: labelOf(used), value: peers[used] },
        ].filter(({ value }) => value !== undefined),
      }))
    if (groups.length === 0) return []
    const whole = `${title} (shorter is better, logarithmic), ${titleOf(kind)}`
    writeFileSync(join(folder, file), barChart({ title: whole, unit: 'ms', groups }))
    return [{ file, title: whole }]
  })
}
