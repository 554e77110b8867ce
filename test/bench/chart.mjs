// Horizontal bars as SVG text. The picture brings its own background, so it reads the same on a light and a dark page.
import { readable } from './stats.mjs'

const WIDTH = 760
const LEFT = 150
const RIGHT = 660
const TOP = 74
const LEGEND = 44
const BAR = 14
const BAR_GAP = 4
const GROUP_GAP = 16
const INK = '#1f2328'
const FAINT = '#59636e'
const GRID = '#d8dee4'
const COLOURS = {
  'dm-thin': '#0969da',
  'the floor in C': '#8c959f',
  dmsetup: '#d1701f',
  containerd: '#9a6700',
}
const OTHER_COLOURS = ['#1a7f37', '#8250df', '#bf3989', '#d4a72c', '#6cb6ff']

const escaped = text => String(text).replace(/[&<>"]/g, char => `&#${char.charCodeAt(0)};`)

function text(x, y, content, { anchor = 'start', size = 12, fill = INK, weight = 'normal' } = {}) {
  const style = `font-size="${size}" text-anchor="${anchor}" fill="${fill}" font-weight="${weight}"`
  return `<text x="${x}" y="${y}" ${style}>${escaped(content)}</text>`
}

/** Powers of ten around all values; a bar starts at the lowest, so that every value has a length. */
function logScale(values) {
  const low = Math.floor(Math.log10(Math.min(...values)) - 0.05)
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))))
  const ticks = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index))
  const at = value => LEFT + ((Math.log10(value) - low) / (high - low)) * (RIGHT - LEFT)
  return { ticks, at }
}

function colourOf(series) {
  const colours = new Map()
  for (const label of series) {
    const other = OTHER_COLOURS[[...colours.keys()].filter(known => !(known in COLOURS)).length % OTHER_COLOURS.length]
    colours.set(label, COLOURS[label] ?? other)
  }
  return colours
}

/** The marks of all series, in one line. */
function drawLegend(colours) {
  let x = LEFT
  return [...colours].map(([label, colour]) => {
    const mark = `<rect x="${x}" y="${LEGEND}" width="10" height="10" rx="2" fill="${colour}"/>`
    const item = mark + text(x + 15, LEGEND + 9, label, { fill: FAINT })
    x += 34 + label.length * 7.2
    return item
  })
}

/**
 * `groups` is [{ label, bars: [{ series, value }] }], one unit for all, on a logarithmic scale.
 * Gives the whole document as text.
 */
export function barChart({ title, unit, groups }) {
  const bars = groups.flatMap(group => group.bars)
  const { ticks, at } = logScale(bars.map(bar => bar.value))
  const colours = colourOf(new Set(bars.map(bar => bar.series)))
  const parts = []
  let y = TOP
  for (const { label, bars: own } of groups) {
    const height = own.length * (BAR + BAR_GAP) - BAR_GAP
    parts.push(text(LEFT - 12, y + height / 2 + 4, label, { anchor: 'end', weight: '600' }))
    for (const { series, value } of own) {
      const width = Math.max(1, at(value) - LEFT).toFixed(1)
      parts.push(`<rect x="${LEFT}" y="${y}" width="${width}" height="${BAR}" rx="2" fill="${colours.get(series)}"/>`)
      parts.push(text(LEFT + Number(width) + 6, y + BAR - 3, `${readable(value)} ${unit}`, { size: 11 }))
      y += BAR + BAR_GAP
    }
    y += GROUP_GAP - BAR_GAP
  }
  const bottom = y - GROUP_GAP + 8
  const grid = ticks.flatMap(tick => {
    const x = at(tick).toFixed(1)
    const line = `<line x1="${x}" y1="${TOP - 8}" x2="${x}" y2="${bottom}" stroke="${GRID}"/>`
    return [
      line,
      text(x, bottom + 16, tick >= 1 ? tick : tick.toPrecision(1), { anchor: 'middle', size: 11, fill: FAINT }),
    ]
  })
  const height = bottom + 30
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"`,
    ` role="img" font-family="system-ui, sans-serif"><title>${escaped(title)}</title>`,
    `<rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="8" fill="#ffffff" stroke="${GRID}"/>`,
    text(20, 28, title, { size: 15, weight: '600' }),
    ...drawLegend(colours),
    ...grid,
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}
