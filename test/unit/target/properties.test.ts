// Lines of every target: what is written comes back, and whatever else a kernel may print is read or refused.
import fc from 'fast-check'
import { generic, knownTargets, parseStatusLine, parseTableLine } from '../../../lib/entry/kernel'
import { poolStatus, volumeStatus } from '../../../lib/pool/state/status'
import { LineReader } from '../../../lib/target/line'
import { parsePoolTable } from '../../../lib/target/thin-pool'
import { escapeWord } from '../../../lib/target/words'
import { splitAsKernel } from '../../helpers/kernel/kernel-splitter'
import { anyLine, anyText, everywhere, outcome, same } from '../../helpers/random/properties'
import { LINES, STATUS_LINES } from '../../helpers/target/lines'
import { STATUSES } from '../../helpers/target/statuses'
import { lineOf, TABLES, targetOf } from '../../helpers/target/tables'

const tableLines = (type: string) => LINES.filter(([each]) => each === type).map(([, parameters]) => parameters)
const statusLines = (type: string) => STATUS_LINES.filter(([each]) => each === type).map(([, parameters]) => parameters)

test('each target has a generator of tables, and each target with a status a generator of status lines', () => {
  expect(Object.keys(TABLES).sort()).toEqual([...knownTargets].sort())
  expect(Object.keys(STATUSES).sort()).toEqual([...new Set(STATUS_LINES.map(([type]) => type))].sort())
})

describe.each(knownTargets)('the target %s', type => {
  const target = targetOf(type)

  test('parses any table that it wrote, and writes the same line again', () => {
    everywhere(500, TABLES[type]!, table => {
      const segment = target(table as never)
      const read = target.parseTable(segment)
      same(read, table)
      same(target(read).parameters, segment.parameters)
    })
  })

  test('parses any other text as a table or throws a DmThinError', () => {
    everywhere(4500, anyLine(tableLines(type)), line => {
      const read = outcome(() => target.parseTable(lineOf(type, line)))
      if (!(read instanceof Error)) same(parseTableLine(lineOf(type, line)), { kind: type, table: read })
    })
  })

  test('parses any text as a status or throws a DmThinError', () => {
    everywhere(4000, anyLine([...statusLines(type), '0']), line =>
      outcome(() => target.parseStatus(lineOf(type, line))),
    )
  })
})

test.each(Object.keys(STATUSES))('any status of %s is parsed as printed, also with a blank at its end', type => {
  const { parseStatus } = targetOf(type)
  everywhere(2000, fc.tuple(STATUSES[type]!, fc.constantFrom('', ' ')), ([[line, says], end]) => {
    const read = parseStatus(lineOf(type, line + end))
    same(read, says)
  })
})

test('poolStatus, volumeStatus and parsePoolTable parse any line or throw a DmThinError', () => {
  const pool = parsePoolTable({ startSectors: 0, ...lineOf('thin-pool', '7:1 7:0 128 0 1 error_if_no_space') })
  everywhere(10_000, anyLine(statusLines('thin-pool')), line => {
    outcome(() => poolStatus(line, pool))
    outcome(() => volumeStatus(line, 8192))
    outcome(() => parsePoolTable({ startSectors: 0, ...lineOf('thin-pool', line) }))
  })
})

test('parseTableLine and parseStatusLine parse lines of known and unknown targets or throw a DmThinError', () => {
  const lines = [...LINES, ...STATUS_LINES].map(([, parameters]) => parameters)
  const type = fc.oneof(fc.constantFrom(...knownTargets, '__proto__', 'constructor', 'toString'), anyText)
  everywhere(10_000, fc.tuple(type, anyLine(lines)), ([type, line]) => {
    for (const read of [parseTableLine, parseStatusLine]) {
      const found = outcome(() => read(lineOf(type, line)))
      if (!(found instanceof Error)) {
        same((found as { kind: string }).kind, knownTargets.includes(type) ? type : 'generic')
      }
    }
  })
})

test('any words are split by the kernel as they were written, or rejected', () => {
  const blank = fc.constantFrom(' ', '\\', '\t', '\n', '\v', '\f', '\r', '\u2003', 'à', '"', ':')
  const word = fc.oneof(
    anyText,
    fc.array(fc.oneof(blank, fc.constantFrom('a', 'é')), { maxLength: 8 }).map(all => all.join('')),
  )
  everywhere(20_000, fc.array(word, { minLength: 1, maxLength: 5 }), words => {
    const written = outcome(() => words.map(escapeWord).join(' '))
    if (written instanceof Error) return
    same(splitAsKernel(written as string), words)
    same(generic({ lengthSectors: 8, type: 'switch', parameters: words }).parameters, written)
  })
})

test('LineReader reads each word once, and numbers exactly', () => {
  const field = fc.constantFrom('number', 'integer', 'bigint', 'fraction', 'word')
  everywhere(20_000, fc.tuple(anyLine(['1 -2 3/4 18446744073709551615']), fc.array(field, { maxLength: 6 })), input => {
    const [line, fields] = input
    const reader = new LineReader('a line', line)
    outcome(() => fields.map(each => reader[each as 'number'](each)))
    const words = line.split(' ').filter(word => word !== '')
    same([...reader.rest()], words.slice(reader.at))
    return reader.at <= fields.length
  })
})
