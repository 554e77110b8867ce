// Draws the pictures of docs/how-it-works.md and docs/architecture.md: node docs/pictures/draw-kernel.mjs
// With --check it compares them with the files instead.
import { readFileSync, writeFileSync } from 'node:fs'

const TEXT = '#1f2328'
const GRAY = '#57606a'
const STYLES = {
  gray: ['#57606a', '#f6f8fa'],
  blue: ['#0969da', '#ddf4ff'],
  green: ['#1a7f37', '#dafbe1'],
  yellow: ['#9a6700', '#fff8c5'],
  red: ['#cf222e', '#ffebe9'],
}

const escaped = text => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

const text = (x, y, content, { anchor = 'middle', color = TEXT, size = 13, mono = false } = {}) => {
  const family = mono ? ' font-family="monospace"' : ''
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="${color}" font-size="${size}"${family}>${escaped(content)}</text>`
}

const note = (x, y, content, anchor = 'start') => text(x, y, content, { anchor, color: GRAY, size: 12 })

/** A box with centred lines; a line that begins with a backquote is set as code. */
function box(x, y, width, height, style, ...lines) {
  const [stroke, fill] = STYLES[style]
  const first = y + height / 2 + 4.5 - (lines.length - 1) * 8
  const labels = lines.map((line, index) => {
    const mono = line.startsWith('`')
    return text(x + width / 2, first + index * 16, mono ? line.slice(1) : line, { mono, size: mono ? 12 : 13 })
  })
  return `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="4" stroke="${stroke}" fill="${fill}"/>${labels.join('')}`
}

/** A line through the points, with an arrow at its end. */
const arrow = (...points) => `<path d="M${points.map(point => point.join(' ')).join('L')}" marker-end="url(#end)"/>`
const arrows = (...paths) => `<g stroke="${GRAY}" stroke-width="1.5" fill="none">${paths.join('')}</g>`

const picture = (width, height, label, ...parts) =>
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13" role="img" aria-label="${label}">`,
    `<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="${GRAY}"/></marker></defs>`,
    `<rect width="${width}" height="${height}" rx="8" fill="#ffffff"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n')

function callPath() {
  const column = (x, title, ...rows) => [
    text(x + 100, 30, title, { color: GRAY }),
    ...rows.map((row, index) => (row ? box(x, 45 + index * 75, 200, 50, ...row) : '')),
  ]
  return picture(
    900,
    300,
    'From the method of the library through its native thread and the system call to the function of the kernel',
    ...column(
      15,
      'JavaScript thread',
      ['gray', '`volume.snapshot()'],
      ['gray', '`device.write()'],
      ['gray', '`device.discard()'],
    ),
    ...column(
      240,
      'native thread of the library',
      ['blue', '`ioctl(DM_TARGET_MSG)', 'on /dev/mapper/control'],
      ['blue', '`pwrite(O_DIRECT)', 'on /dev/dm-N'],
      ['blue', '`ioctl(BLKDISCARD)', 'on /dev/dm-N'],
    ),
    ...column(
      465,
      'kernel, in that thread',
      ['green', '`target_message', '`pool_message'],
      ['green', '`dm_submit_bio', '`thin_bio_map'],
      ['green', '`dm_submit_bio', '`thin_bio_map'],
    ),
    text(790, 30, 'kernel, workqueue of the pool', { color: GRAY }),
    box(
      690,
      120,
      200,
      125,
      'yellow',
      'unmapped, shared, discard:',
      '`do_worker',
      '`process_cell',
      '`process_discard_bio',
    ),
    box(465, 258, 200, 34, 'red', '`dm-thin-metadata.c'),
    arrows(
      ...[70, 145, 220].flatMap(y => [arrow([215, y], [238, y]), arrow([440, y], [463, y])]),
      arrow([665, 145], [688, 145]),
      arrow([665, 220], [688, 220]),
      arrow([665, 70], [677, 70], [677, 268], [667, 268]),
      arrow([790, 245], [790, 282], [667, 282]),
    ),
    note(15, 280, 'The promise settles after the system call has returned.'),
  )
}

function bioPath() {
  return picture(
    900,
    640,
    'The path of a bio through the thin target: remapped at once, or deferred to the worker of the pool',
    box(20, 20, 250, 44, 'gray', 'bio for /dev/dm-N', '`submit_bio → dm_submit_bio'),
    box(20, 94, 250, 44, 'green', 'at most one data block of it', '`thin_map → thin_bio_map'),
    box(20, 168, 250, 60, 'green', 'virtual cell: is it taken?', '`bio_detain', '`dm_thin_find_block'),
    box(20, 516, 250, 44, 'blue', 'remapped to the pool device', '`remap → dm_submit_bio_remap'),
    box(20, 578, 250, 44, 'gray', 'data device', '`dm_submit_bio → pool_map'),
    note(155, 330, 'mapped, not shared, and'),
    note(155, 346, 'found in the cache'),
    box(330, 94, 250, 44, 'yellow', 'flush, FUA, discard', '`thin_defer_bio_with_throttle'),
    box(330, 176, 250, 44, 'yellow', 'unmapped, shared, not cached', '`thin_defer_cell'),
    box(330, 258, 250, 44, 'yellow', 'worker, one for each pool', '`do_worker → process_deferred_bios'),
    box(622, 20, 266, 44, 'gray', 'waits in the cell of its block', '`cell->bios'),
    box(622, 258, 266, 44, 'red', 'discard', '`process_discard_bio'),
    box(330, 334, 250, 44, 'yellow', 'look up again, may read', '`process_cell → dm_thin_find_block'),
    box(622, 334, 266, 44, 'yellow', 'unmapped', '`provision_block → alloc_data_block'),
    box(622, 394, 266, 44, 'yellow', 'shared, and a write', '`break_sharing → alloc_data_block'),
    box(622, 456, 266, 44, 'blue', 'zero, copy or overwrite', '`schedule_zero, schedule_copy'),
    box(330, 456, 250, 44, 'red', 'insert the mapping', '`process_prepared_mapping'),
    box(330, 578, 250, 44, 'red', 'flush or FUA after a change', '`issue → commit'),
    arrows(
      arrow([145, 64], [145, 92]),
      arrow([145, 138], [145, 166]),
      arrow([145, 228], [145, 514]),
      arrow([145, 560], [145, 576]),
      arrow([270, 116], [328, 116]),
      arrow([270, 198], [328, 198]),
      arrow([250, 168], [250, 152], [605, 152], [605, 42], [620, 42]),
      arrow([580, 116], [592, 116], [592, 272], [582, 272]),
      arrow([455, 220], [455, 256]),
      arrow([580, 286], [620, 286]),
      arrow([455, 302], [455, 332]),
      arrow([580, 356], [620, 356]),
      arrow([601, 356], [601, 416], [620, 416]),
      arrow([755, 438], [755, 454]),
      arrow([622, 478], [582, 478]),
      arrow([455, 500], [455, 538], [272, 538]),
      arrow([455, 538], [455, 576]),
      arrow([330, 366], [312, 366], [312, 526], [272, 526]),
      arrow([330, 600], [300, 600], [300, 552], [272, 552]),
    ),
    note(615, 156, 'the cell is taken'),
    note(318, 412, 'mapped, or a read of a shared block'),
    note(590, 540, 'dm_thin_insert_block; then the bio that'),
    note(590, 556, 'holds the cell and those that wait in it'),
  )
}

function mappingTree() {
  const state = (x, title, upper, leaves, edges, blocks) => [
    text(x + 140, 28, title, { color: GRAY }),
    `<rect x="${x + upper[0][0] - 8}" y="42" width="${upper.at(-1)[0] - upper[0][0] + 106}" height="50" rx="4" stroke="#57606a" fill="#f6f8fa"/>`,
    ...upper.map(([dx, label]) => box(x + dx, 50, 90, 34, 'blue', label)),
    ...leaves.map(([dx, count, ...lines]) => [
      box(x + dx, 130, 118, 52, 'green', ...lines),
      note(x + dx + 59, 200, `references: ${count}`, 'middle'),
    ]),
    ...blocks.map(([dx, label, count, style = 'gray']) => [
      box(x + dx, 262, 56, 34, style, label),
      note(x + dx + 28, 314, String(count), 'middle'),
    ]),
    arrows(...edges.map(([from, to, y = 128]) => arrow([x + from, y === 128 ? 92 : 206], [x + to, y]))),
  ]
  const LEAF = ['`0 → 0, time 0', '`1 → 1, time 0']
  return picture(
    900,
    345,
    'The mapping tree before a snapshot, after it, and after a write to the origin, with the reference counts',
    ...[
      state(
        15,
        'before',
        [[95, 'thin 0']],
        [[81, 1, ...LEAF]],
        [
          [140, 140],
          [120, 108, 260],
          [160, 172, 260],
        ],
        [
          [80, 'block 0', 1],
          [144, 'block 1', 1],
        ],
      ),
      state(
        310,
        'after create_snap 1 0',
        [
          [40, 'thin 0'],
          [150, 'thin 1'],
        ],
        [[81, 2, ...LEAF]],
        [
          [85, 120],
          [195, 160],
          [120, 108, 260],
          [160, 172, 260],
        ],
        [
          [80, 'block 0', 1],
          [144, 'block 1', 1],
        ],
      ),
      state(
        605,
        'after a write to block 0 of thin 0',
        [
          [24, 'thin 0'],
          [166, 'thin 1'],
        ],
        [
          [10, 1, '`0 → 2, time 1', '`1 → 1, time 0'],
          [152, 1, ...LEAF],
        ],
        [
          [69, 69],
          [211, 211],
          [50, 42, 260],
          [85, 126, 260],
          [195, 150, 260],
          [225, 235, 260],
        ],
        [
          [14, 'block 2', 1, 'yellow'],
          [112, 'block 1', 2],
          [208, 'block 0', 1],
        ],
      ),
    ].flat(3),
    note(12, 71, 'upper level'),
    note(12, 160, 'lower level'),
    note(12, 283, 'data'),
    note(
      450,
      336,
      'The reference counts of nodes are in the metadata space map, those of data blocks in the data space map.',
      'middle',
    ),
    `<path d="M302 20V320M597 20V320" stroke="#d0d7de"/>`,
  )
}

function oneCall() {
  const [JS, NATIVE, KERNEL] = [15, 330, 655]
  const WIDTH = { [JS]: 240, [NATIVE]: 250, [KERNEL]: 230 }
  const row = (x, y, style, ...lines) => box(x, y, WIDTH[x], 44, style, ...lines)
  const [status, suspend, message, resume] = [295, 377, 433, 489]
  const both = y => [arrow([580, y + 16], [653, y + 16]), arrow([655, y + 30], [582, y + 30])]
  return picture(
    900,
    700,
    'One snapshot: from the method through the port to a native thread, its system calls in the kernel, and back',
    text(JS + 120, 30, 'JavaScript thread', { color: GRAY }),
    text(NATIVE + 125, 30, 'native thread of the library', { color: GRAY }),
    text(KERNEL + 115, 30, 'kernel, in that thread', { color: GRAY }),
    row(JS, 45, 'gray', '`volume.snapshot()', '1  checks the options'),
    row(JS, 101, 'gray', '2  free id, reserve, snapshot clock'),
    row(JS, 157, 'gray', "3  turn among this process's calls"),
    row(JS, 213, 'gray', '`port.snapshot(request)', '4  trace, abort signal'),
    note(JS + 120, 385, 'other JavaScript runs;', 'middle'),
    note(JS + 120, 401, 'nothing here waits', 'middle'),
    row(NATIVE, 213, 'blue', '5  takes the job from its queue', "6  locks: the pool's, the origin's id"),
    row(NATIVE, status, 'blue', '7  looks at pool and origin', '8  packs all requests'),
    `<rect x="${NATIVE - 12}" y="352" width="274" height="193" rx="4" stroke="#cf222e" stroke-dasharray="5 3" fill="none"/>`,
    note(NATIVE + 125, 369, 'critical section: no exit; after 9, no abort', 'middle'),
    row(NATIVE, suspend, 'blue', '9  suspends the origin'),
    row(NATIVE, message, 'blue', '10  sends the message'),
    row(NATIVE, resume, 'blue', '11  resumes the origin'),
    row(NATIVE, 559, 'blue', '12  proof of the commit;', 'ends the locks'),
    row(KERNEL, status, 'green', '`DM_DEV_STATUS', 'twice'),
    row(KERNEL, suspend, 'green', '`DM_DEV_SUSPEND', 'freezes, waits for I/O'),
    row(KERNEL, message, 'green', '`DM_TARGET_MSG: create_snap', 'new root, commit to disk'),
    row(KERNEL, resume, 'green', '`DM_DEV_SUSPEND', 'thaws, I/O continues'),
    row(JS, 559, 'gray', '13  settles the promise', 'with others that have ended'),
    row(JS, 615, 'gray', '14  writes the record, if any'),
    note(JS + 120, 687, '15  returns the new ThinVolume', 'middle'),
    arrows(
      ...[89, 145, 201].map(y => arrow([JS + 120, y], [JS + 120, y + 10])),
      arrow([255, 235], [328, 235]),
      arrow([NATIVE + 125, 257], [NATIVE + 125, 293]),
      arrow([NATIVE + 125, 339], [NATIVE + 125, 350]),
      ...[421, 477].map(y => arrow([NATIVE + 125, y], [NATIVE + 125, y + 10])),
      arrow([NATIVE + 125, 545], [NATIVE + 125, 557]),
      ...[status, suspend, message, resume].flatMap(both),
      arrow([330, 581], [257, 581]),
      arrow([JS + 120, 603], [JS + 120, 613]),
      arrow([JS + 120, 659], [JS + 120, 669]),
    ),
  )
}

const PICTURES = {
  'call-path.svg': callPath(),
  'bio-path.svg': bioPath(),
  'mapping-tree.svg': mappingTree(),
  'one-call.svg': oneCall(),
}

for (const [name, drawn] of Object.entries(PICTURES)) {
  const file = new URL(name, import.meta.url)
  if (!process.argv.includes('--check')) writeFileSync(file, drawn)
  else if (readFileSync(file, 'utf8') !== drawn) {
    console.error(`docs/pictures/${name} differs: node docs/pictures/draw-kernel.mjs`)
    process.exitCode = 1
  }
}
