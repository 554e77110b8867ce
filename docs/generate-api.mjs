// Writes docs/api.md from the docstrings of what the package's entries export.
//
//   node docs/generate-api.mjs           write it
//   node docs/generate-api.mjs --check   only say whether it is up to date; exit status 1 if not
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { Application, ReflectionKind } from 'typedoc'

const root = resolve(import.meta.dirname, '..')
const page = join(root, 'docs/api.md')

/** Chapters in reading order, by the file that declares a thing. A file without a chapter stops the generator. */
const CHAPTERS = [
  [
    'Pools',
    [
      'lib/pool/thin-pool.ts',
      'lib/pool/lifecycle/options.ts',
      'lib/pool/lifecycle/check.ts',
      'lib/pool/state/durability.ts',
      'lib/pool/state/record.ts',
      'lib/pool/lifecycle/grow.ts',
      'lib/pool/transaction-id.ts',
      'lib/pool/metadata-snapshot.ts',
      'lib/pool/lifecycle/remove.ts',
      'lib/pool/lifecycle/repair.ts',
    ],
  ],
  [
    'Volumes and snapshots',
    ['lib/pool/volume/thin-volume.ts', 'lib/pool/volume/volume-options.ts', 'lib/pool/volume/batch.ts'],
  ],
  ['Status', ['lib/pool/state/status.ts', 'lib/pool/state/snapshot-clock.ts', 'lib/target/thin-pool.ts']],
  ['Loop devices', ['lib/block/loop-device.ts', 'lib/kernel/port/loop-port.ts']],
  [
    'Block devices',
    [
      'lib/block/block-device.ts',
      'lib/kernel/port/block-port.ts',
      'lib/filesystem/detect.ts',
      'lib/filesystem/superblocks.ts',
    ],
  ],
  ['Mounts', ['lib/filesystem/mount.ts', 'lib/filesystem/freeze-trim-grow.ts', 'lib/kernel/port/file-system-port.ts']],
  [
    'Events',
    [
      'lib/events/device-watch.ts',
      'lib/events/device-changes.ts',
      'lib/events/event-queue.ts',
      'lib/pool/pool-events.ts',
    ],
  ],
  [
    'dm-thin/kernel',
    [
      'lib/mapper/device-mapper.ts',
      'lib/mapper/device-info.ts',
      'lib/kernel/port/device-port.ts',
      'lib/kernel/table.ts',
      'lib/mapper/udev-transaction.ts',
      'lib/kernel/kernel-names.ts',
      'lib/mapper/capabilities.ts',
      'lib/kernel/trace/diagnostics.ts',
    ],
  ],
  ['dm-thin/kernel: mapped devices', ['lib/mapper/mapped-device.ts', 'lib/mapper/device-tree.ts']],
  [
    'dm-thin/kernel: targets',
    [
      ['define', 'line', 'words', 'known', 'generic'],
      ['linear', 'striped', 'error', 'zero', 'delay', 'flakey', 'log-writes', 'snapshot', 'thin'],
      ['crypt', 'cache', 'writecache', 'era', 'verity', 'integrity', 'raid', 'mirror'],
    ]
      .flat()
      .map(target => `lib/target/${target}.ts`),
  ],
  [
    'dm-thin/store',
    [
      'lib/store/layer-store.ts',
      'lib/store/layer-store-base.ts',
      'lib/store/layers/layer.ts',
      'lib/store/common/options.ts',
      'lib/store/common/types.ts',
      'lib/store/tar-read/apply-tar.ts',
      'lib/store/compare/changes.ts',
      'lib/store/tar-write/diff-tar.ts',
      'lib/store/compare/tree-comparison.ts',
      'lib/store/tar-write/layer-tar.ts',
      'lib/store/images/import.ts',
      'lib/store/images/export.ts',
      'lib/store/images/document.ts',
      'lib/store/layers/prune.ts',
      'lib/store/layers/space.ts',
      'lib/store/common/findings.ts',
      'lib/store/recovery/repair.ts',
      'lib/store/engine/removal-queue.ts',
      'lib/store/common/step-channel.ts',
      'lib/store/common/mkfs.ts',
      'lib/store/filter/filter.ts',
      'lib/store/foreign/adopted-store.ts',
      'lib/store/foreign/foreign-record.ts',
    ],
  ],
  ['Options of many calls', ['lib/base/options.ts', 'lib/kernel/kernel-option.ts']],
  ['Errors', ['lib/base/errors.ts']],
  ['Units', ['lib/base/units.ts']],
]

const HEAD = `# API reference

<!-- Written by docs/generate-api.mjs from the docstrings. Change those, then run: npm run docs -->

[Documentation](README.md) · previous: [Limits](limits.md) · next: [Benchmark](benchmark.md)

Everything that \`import … from 'dm-thin'\` gives, and under the headings that say so what its other entries give;
\`require('dm-thin')\` gives the same classes. What a thing is for is on
the other pages; here is every name with its type. Codes such as \`DM_BUSY\` are explained in [Errors](errors.md).
`

const codes = readFileSync(join(root, 'lib/base/errors.ts'), 'utf8')
  .match(/^  \| '\w+'$/gm)
  .map(line => line.slice(5, -1))
const isCode = name => codes.includes(name)

const sourceOf = reflection => {
  const found = reflection.sources?.[0] ?? reflection.signatures?.[0]?.sources?.[0]
  return found.fullFileName.slice(root.length + 1)
}

const text = parts => (parts ?? []).map(part => part.text).join('')
const oneLine = words => words.replace(/\s*\n\s*/g, ' ').trim()
/** Each code leads to its heading in errors.md. */
const linked = words =>
  words.replace(/`(DM_[A-Z_]+|ABORT_ERR)`/g, (all, name) =>
    isCode(name) ? `[${all}](errors.md#${name.toLowerCase()})` : all,
  )
const commentOf = reflection => linked(text(reflection?.comment?.summary).trim())
const mark = reflection => (reflection.flags.isOptional || reflection.defaultValue !== undefined ? '?' : '')
const readonly = reflection => (reflection.flags.isReadonly ? 'readonly ' : '')

/** A type in TypeScript's own words. typedoc's toString() hides the inside of object types. */
function shown(type) {
  if (type === undefined) return 'unknown'
  // The order of literals in a union is the compiler's whim, not the author's: sorted, the page stays as it is.
  if (type.type === 'union') {
    const words = type.types.map(shown)
    return (type.types.every(each => each.type === 'literal') ? words.sort() : words).join(' | ')
  }
  if (type.type === 'literal' && typeof type.value === 'string') return `'${type.value}'`
  if (type.type === 'intersection') return type.types.map(shown).join(' & ')
  if (type.type === 'typeOperator') return `${type.operator} ${shown(type.target)}`
  if (type.type === 'array') {
    const inner = shown(type.elementType)
    return /[ |&]/.test(inner) ? `(${inner})[]` : `${inner}[]`
  }
  if (type.type === 'reference') {
    const inner = type.typeArguments?.map(shown).join(', ')
    return inner ? `${type.name}<${inner}>` : type.name
  }
  if (type.type === 'reflection') {
    const [signature] = type.declaration.signatures ?? []
    if (signature) return `(${parameters(signature)}) => ${shown(signature.type)}`
    return `{ ${(type.declaration.children ?? []).map(property).join('; ')} }`
  }
  return type.toString()
}

const property = child => `${readonly(child)}${child.name}${mark(child)}: ${shown(child.type)}`
const parameters = signature => (signature.parameters ?? []).map(property).join(', ')

const generics = signature => {
  const names = (signature.typeParameters ?? []).map(each => each.name)
  return names.length === 0 ? '' : `<${names.join(', ')}>`
}

const code = line => `\`\`\`typescript\n${line}\n\`\`\``
const item = (line, comment) => `- \`${line}\`${comment ? `: ${oneLine(comment)}` : ''}`

function callable(prefix, name, signature) {
  return [
    code(`${prefix}${name}${generics(signature)}(${parameters(signature)}): ${shown(signature.type)}`),
    commentOf(signature),
  ]
}

function classText(reflection) {
  const own = reflection.children.filter(child => !child.flags.isInherited && !child.flags.isPrivate)
  const named = own.filter(child => !child.name.startsWith('['))
  const fields = named.filter(child => child.kindOf(ReflectionKind.Property))
  const accessors = named.filter(child => child.kindOf(ReflectionKind.Accessor))
  const methods = named.filter(child => child.kindOf(ReflectionKind.Method))
  const lines = [
    ...fields.map(child => item(`${readonly(child)}${child.name}: ${shown(child.type)}`, commentOf(child))),
    ...accessors.map(child => {
      const signature = child.getSignature
      return item(`readonly ${child.name}: ${shown(signature.type)}`, commentOf(signature))
    }),
  ]
  const disposes = own.some(child => child.name.includes('asyncDispose'))
  const dispose = disposes ? ['`await using` calls `close()` (`Symbol.asyncDispose`).'] : []
  const blocks = methods.flatMap(method =>
    method.signatures.flatMap(signature => [
      `#### ${reflection.name}.${method.name}`,
      ...callable(method.flags.isStatic ? 'static ' : '', method.name, signature),
    ]),
  )
  return [lines.join('\n'), ...dispose, ...blocks]
}

/** A field, a getter or a method of an interface. */
function member(child) {
  if (child.getSignature) {
    return [item(`readonly ${child.name}: ${shown(child.getSignature.type)}`, commentOf(child.getSignature))]
  }
  if (!child.signatures) return [item(property(child), commentOf(child))]
  return child.signatures.map(signature =>
    item(
      `${child.name}${mark(child)}${generics(signature)}(${parameters(signature)}): ${shown(signature.type)}`,
      commentOf(signature),
    ),
  )
}

function interfaceText(reflection) {
  const base = (reflection.extendedTypes ?? []).map(shown)
  const own = (reflection.children ?? []).filter(child => !child.inheritedFrom)
  const calls = (reflection.signatures ?? []).map(signature =>
    item(`(${parameters(signature)}): ${shown(signature.type)}`, commentOf(signature)),
  )
  const lines = own.flatMap(member)
  return [...(base.length ? [`Extends \`${base.join(', ')}\`.`] : []), [...calls, ...lines].join('\n')]
}

function aliasText(reflection) {
  const names = (reflection.typeParameters ?? []).map(each => each.name)
  const head = `type ${reflection.name}${names.length ? `<${names.join(', ')}>` : ''} =`
  const variants = reflection.type.type === 'union' ? reflection.type.types : [reflection.type]
  const body = variants.length === 1 ? ` ${shown(variants[0])}` : variants.map(each => `\n  | ${shown(each)}`).join('')
  const fields = variants.flatMap(each => each.declaration?.children ?? []).filter(child => commentOf(child))
  return [code(head + body), fields.map(child => item(property(child), commentOf(child))).join('\n')]
}

function entry(reflection) {
  const heading = `### ${reflection.name}`
  const comment = commentOf(reflection)
  if (reflection.kindOf(ReflectionKind.Class)) return [heading, comment, ...classText(reflection)]
  if (reflection.kindOf(ReflectionKind.Interface)) return [heading, comment, ...interfaceText(reflection)]
  if (reflection.kindOf(ReflectionKind.TypeAlias)) return [heading, comment, ...aliasText(reflection)]
  if (reflection.kindOf(ReflectionKind.Function)) {
    return [heading, ...reflection.signatures.flatMap(signature => callable('', reflection.name, signature))]
  }
  return [heading, code(`const ${reflection.name}: ${shown(reflection.type)}`), comment]
}

async function generate() {
  const app = await Application.bootstrap({ options: join(root, 'typedoc.json'), logLevel: 'Error' })
  const project = await app.convert()
  if (project === undefined) throw new Error('typedoc could not read the entries')
  const things = project.children
    .flatMap(entryPoint => entryPoint.children)
    .filter(child => !child.kindOf(ReflectionKind.Reference))
  const files = new Set(CHAPTERS.flatMap(([, paths]) => paths))
  const homeless = things.find(child => !files.has(sourceOf(child)))
  if (homeless)
    throw new Error(`${homeless.name} of ${sourceOf(homeless)} belongs to no chapter of docs/generate-api.mjs`)
  const chapters = CHAPTERS.flatMap(([title, paths]) => {
    const found = paths.flatMap(path => things.filter(child => sourceOf(child) === path))
    const isClass = child => child.kindOf(ReflectionKind.Class)
    const inside = [...found.filter(isClass), ...found.filter(child => !isClass(child))]
    return [`## ${title}`, ...inside.flatMap(entry)]
  })
  const markdown = [HEAD, ...chapters].filter(Boolean).join('\n\n')
  return format(markdown, { ...(await resolveConfig(page)), parser: 'markdown' })
}

const wanted = await generate()
if (!process.argv.includes('--check')) {
  writeFileSync(page, wanted)
} else if (readFileSync(page, 'utf8') !== wanted) {
  console.error('docs/api.md is not what the docstrings say: npm run docs')
  process.exitCode = 1
}
