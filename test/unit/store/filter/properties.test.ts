// What holds of any filter and any pattern.
import fc from 'fast-check'
import { DmThinError } from '../../../../lib/base/errors.js'
import { parseFilter } from '../../../../lib/store/filter/filter.js'
import type { LayerInfo } from '../../../../lib/store/common/layer-types.js'
import { anyText, everywhere, holds } from '../../../helpers/random/properties.js'
import { layer, quoted } from '../../../helpers/store/filters.js'

const text = fc.oneof(fc.constantFrom('a', 'b', 'a.b', ''), fc.string({ unit: 'grapheme', maxLength: 6 }))
const info: fc.Arbitrary<LayerInfo> = fc.record({
  key: text,
  parent: text,
  kind: fc.constantFrom('active', 'view', 'committed'),
  labels: fc.dictionary(text, text, { maxKeys: 3 }),
  createdAt: fc.constant(1n),
  updatedAt: fc.constant(1n),
  sizeBytes: fc.constant(2 ** 30),
  raw: fc.constant(false),
  fileSystem: fc.constant('ext4'),
})

const escaped = fc.array(fc.boolean(), { minLength: 1, maxLength: 5 })
const blanks = fc.constantFrom('', '', ' ', '\t ', '\u00a0')

interface Selector {
  readonly written: string
  readonly holds: (info: LayerInfo) => boolean
}

const selector: fc.Arbitrary<Selector> = fc
  .record({
    field: fc.constantFrom('name', 'parent', 'kind', 'labels', 'other'),
    key: text,
    operator: fc.constantFrom('', '==', '!='),
    value: fc.oneof(text, fc.constantFrom('active', 'view', 'committed')),
    escaped,
    blanks: fc.tuple(blanks, blanks),
  })
  .map(({ field, key, operator, value, escaped, blanks: [before, after] }) => {
    const path = field === 'labels' ? `labels.${quoted(key, escaped)}` : field
    const written = operator === '' ? path : `${path}${before}${operator}${after}${quoted(value, escaped)}`
    const found = (layer: LayerInfo): string | undefined => {
      if (field === 'name') return layer.key
      if (field === 'parent' || field === 'kind') return layer[field]
      return field === 'labels' && Object.hasOwn(layer.labels, key) ? layer.labels[key] : undefined
    }
    return {
      written,
      holds: layer => {
        if (operator === '') return found(layer) !== undefined
        return operator === '==' ? found(layer) === value : (found(layer) ?? '') !== value
      },
    }
  })

test('a filter of several selectors selects the layers that each of them selects', () => {
  const parts = fc.tuple(fc.array(selector, { minLength: 1, maxLength: 3 }), blanks, info)
  everywhere(1500, parts, ([selectors, blank, layer]) => {
    const filter = selectors.map(({ written }) => written).join(`,${blank}`)
    const wanted = selectors.every(({ holds }) => holds(layer))
    holds(parseFilter(filter)(layer) === wanted, filter)
  })
})

test('any text is parsed as a filter or rejected with an offset', () => {
  const words = fc.array(
    fc.oneof(
      fc.constantFrom(
        'name',
        'labels',
        '.',
        ',',
        '==',
        '!=',
        '~=',
        '"',
        '/',
        '|',
        '\\',
        ' ',
        '(',
        '[',
        '*',
        'a',
        '=',
        '~',
      ),
      anyText,
    ),
    { maxLength: 12 },
  )
  const texts = fc.oneof(
    anyText,
    words.map(list => list.join('')),
  )
  everywhere(3000, fc.tuple(texts, info), ([filter, layer]) => {
    try {
      holds(typeof parseFilter(filter)(layer) === 'boolean', filter)
    } catch (error) {
      if (!(error instanceof DmThinError)) throw error
      const at = Number(error.detail)
      holds(error.code === 'DM_FILTER' && at >= 0 && at <= filter.length, error)
    }
  })
})

/** Patterns that JavaScript's own expressions mean the same by. */
const { pattern } = fc.letrec<{ pattern: string }>(tie => ({
  pattern: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('a', 'b', '[ab]', '[^a]', '\\d', '\\w', '\\W', '^', '$', '\\b', '\\B', '\\.', ''),
    fc.tuple(tie('pattern'), tie('pattern')).map(([left, right]) => left + right),
    fc.tuple(tie('pattern'), tie('pattern')).map(([left, right]) => `(?:${left}|${right})`),
    fc
      .tuple(tie('pattern'), fc.constantFrom('*', '+', '?', '*?', '{2}', '{1,}', '{0,2}'))
      .map(([inner, times]) => `(${inner})${times}`),
  ),
}))

test('a pattern matches the texts that a regular expression of JavaScript matches', () => {
  const subject = fc.string({ unit: fc.constantFrom('a', 'b', '0', ' ', '-'), maxLength: 8 })
  everywhere(2000, fc.tuple(pattern, fc.array(subject, { minLength: 3, maxLength: 6 })), ([source, subjects]) => {
    const own = parseFilter(`name~=${quoted(source)}`)
    const theirs = new RegExp(source, 'u')
    for (const each of subjects) holds(own(layer(each)) === theirs.test(each), [source, each])
  })
})

test('any text is parsed as a pattern or rejected', () => {
  const words = fc
    .array(fc.oneof(fc.constantFrom(...'()[]{}*+?|\\^$.-:,P<>=!ipd01aE'.split('')), anyText), { maxLength: 16 })
    .map(list => list.join(''))
  everywhere(3000, fc.tuple(words, anyText), ([source, subject]) => {
    try {
      holds(typeof parseFilter(`name~=${quoted(source)}`)(layer(subject)) === 'boolean', source)
    } catch (error) {
      if (!(error instanceof DmThinError)) throw error
      holds(error.code === 'DM_FILTER', error)
    }
  })
})
