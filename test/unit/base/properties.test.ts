// Names, numbers, options and other text: from the kernel, from /proc, or from a caller without types.
import fc from 'fast-check'
import { changesBetween, known } from '../../../lib/events/device-changes'
import { ownerIsGone, startTimeIn } from '../../../lib/block/loop-owner'
import { knownTargets, mangleName, unmangleName } from '../../../lib/entry/kernel'
import { capabilitiesOf } from '../../../lib/mapper/capabilities'
import { toDmsetupCommand } from '../../../lib/kernel/trace/dmsetup-command'
import { checkKernelName, checkKernelUuid } from '../../../lib/kernel/kernel-names'
import type { ListedDevice } from '../../../lib/kernel/port/device-port'
import { deviceNumber, encodeDevice, parseDeviceNumber } from '../../../lib/base/device-number'
import { buildTable } from '../../../lib/kernel/table'
import { checkBoolean, checkName, checkOptions, checkPath, checkText } from '../../../lib/base/options'
import { secretsOf } from '../../../lib/kernel/trace/secrets'
import { checkNumber } from '../../../lib/base/options'
import { sectors, sectorsToBytes } from '../../../lib/base/units'
import { anyText, everywhere, holds, outcome, same } from '../../helpers/random/properties'
import { TABLES, targetOf } from '../../helpers/target/tables'

const anyThing = fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true })

describe('names with arbitrary text', () => {
  test('mangleName has a result of udev’s allowed characters, which unmangleName reverts', () => {
    everywhere(10_000, anyText, name => {
      const mangled = outcome(() => mangleName(name))
      if (mangled instanceof Error) return holds(/\0|\p{Surrogate}/u.test(name), name)
      holds(/^[0-9A-Za-z#+\-.:=@_\\]*$/.test(mangled as string), mangled)
      if (!(mangled as string).includes('\\x5cx')) same(unmangleName(mangled as string), name)
    })
  })

  test('unmangleName returns the bytes that the mangled text encodes', () => {
    const piece = fc.oneof(fc.constantFrom('a', '\\x20', '\\x5c', '\\xc3', '\\xbc', '\\x00', '\\x', '\\', 'x'), anyText)
    everywhere(10_000, fc.array(piece, { maxLength: 6 }), pieces => {
      const mangled = pieces.join('')
      const name = outcome(() => unmangleName(mangled))
      if (name instanceof Error) return
      const bytes = mangled.replace(
        /\\x(..)|(.)/g,
        (_, hex: string, plain: string) => hex ?? plain.charCodeAt(0).toString(16),
      )
      same(Buffer.from(name as string).toString('hex'), bytes)
    })
  })

  test('the checks of names, uuids, paths and texts return accepted values unchanged and within the kernel’s limits', () => {
    everywhere(10_000, fc.oneof(anyText, anyThing), value => {
      for (const check of [checkName, checkKernelName, checkKernelUuid]) {
        const name = outcome(() => check(value))
        if (name instanceof Error) continue
        same(name, value)
        holds(Buffer.byteLength(name as string) <= 128, name)
      }
      for (const check of [checkPath, checkText]) {
        const text = outcome(() => check('text', value))
        if (!(text instanceof Error)) same(Buffer.from(text as string).toString(), value)
      }
    })
  })
})

describe('arbitrary numbers', () => {
  test('any text is parsed as a device number or as undefined, and device numbers survive printing and parsing', () => {
    const number = fc.tuple(fc.nat(99999), fc.nat(2 ** 21)).map(parts => parts.join(':'))
    everywhere(20_000, fc.oneof(number, anyText), text => {
      const device = parseDeviceNumber(text)
      if (device === undefined) return
      same(text.split(':').map(Number).join(':'), deviceNumber(device))
    })
    everywhere(20_000, fc.tuple(fc.nat(4095), fc.nat(1048575)), ([major, minor]) => {
      const number = encodeDevice(major, minor)
      holds(number >= 0, number)
      same(deviceNumber(number), `${major}:${minor}`)
      same(parseDeviceNumber(`${major}:${minor}`), number)
    })
  })

  test('a count of sectors survives conversion to bytes and back', () => {
    everywhere(10_000, fc.nat(2 ** 44 - 1), count => sectors(sectorsToBytes(count)) === count)
  })

  test('checkNumber accepts only numbers within their range', () => {
    const range = fc.record({ min: fc.nat(100), max: fc.nat(1000), multipleOf: fc.integer({ min: 1, max: 9 }) })
    everywhere(10_000, fc.tuple(fc.oneof(fc.integer({ min: -9, max: 1000 }), anyThing), range), ([value, limits]) => {
      const number = outcome(() => checkNumber('n', value, limits))
      if (number instanceof Error) return
      same(number, value)
      holds((number as number) >= limits.min && (number as number) <= limits.max, number)
      same((number as number) % limits.multipleOf, 0)
    })
  })
})

describe('options of any type', () => {
  test('checkOptions, checkBoolean and buildTable accept a value or throw a DmThinError', () => {
    everywhere(10_000, anyThing, value => {
      outcome(() => checkOptions(value, ['a', 'b'], 'call'))
      outcome(() => checkBoolean('flag', value))
      outcome(() => buildTable(value as never))
    })
  })

  test.each(knownTargets)('the target %s accepts any value in place of any option, or throws a DmThinError', type => {
    const target = targetOf(type)
    const changed = fc.tuple(TABLES[type]!, fc.nat(30), anyThing).map(([table, at, value]) => {
      const names = [...Object.keys(table), 'more']
      return { ...table, [names[at % names.length]!]: value }
    })
    const nested = fc.tuple(TABLES[type]!, fc.nat(30), fc.nat(30), anyThing).map(([table, at, within, value]) => {
      const objects = Object.entries(table).filter(
        (entry): entry is [string, object] => typeof entry[1] === 'object' && entry[1] !== null,
      )
      const [name, inner] = objects[at % objects.length] ?? ['more', {}]
      const list = Array.isArray(inner) ? [...(inner as unknown[])] : { ...inner }
      const names = Object.keys(list)
      return { ...table, [name]: Object.assign(list, { [names[within % names.length] ?? '0']: value }) }
    })
    everywhere(1500, fc.oneof(changed, nested, anyThing), table => {
      const segment = outcome(() => target(table as never))
      if (!(segment instanceof Error)) buildTable([segment as never])
    })
  })
})

describe('toDmsetupCommand', () => {
  /** A shell: single quotes, and a backslash before a quote. */
  function shellWords(text: string): string[] {
    const words: string[] = []
    for (const [, word] of text.matchAll(/((?:'[^']*'|\\'|[^ '\\])+)(?: |$)/g)) {
      words.push(word!.replace(/'([^']*)'|\\(')/g, (_, quoted: string | undefined) => quoted ?? "'"))
    }
    return words
  }

  test('quotes any name as one word for a shell', () => {
    const text = anyText.map(each => each.replaceAll('\0', ''))
    everywhere(10_000, fc.tuple(text, text, text), ([name, to, message]) => {
      same(shellWords(toDmsetupCommand('rename', [name, to])!), ['dmsetup', 'rename', name, to])
      same(shellWords(toDmsetupCommand('targetMessage', [{ name }, 0, message])!), [
        'dmsetup',
        'message',
        name,
        '0',
        message,
      ])
      const table = [{ startSectors: 0, lengthSectors: 8, type: 'linear', parameters: `7:0 ${to}x` }]
      same(shellWords(toDmsetupCommand('tableLoad', [{ name }, table])!).at(-1), `0 8 linear 7:0 ${to}x`)
    })
  })

  test('returns undefined for a call that dmsetup does not have, also for names of Object.prototype', () => {
    for (const name of [...Reflect.ownKeys(Object.prototype), 'loopAttach']) {
      expect(toDmsetupCommand(String(name), [])).toBeUndefined()
    }
  })
})

test('secretsOf finds the keys among the words of a table with any number of blanks between them', () => {
  const blank = fc.stringMatching(/^[ \t]{1,3}$/)
  const key = fc.stringMatching(/^([0-9a-f]{2}){2,16}$/)
  everywhere(5000, fc.tuple(blank, blank, key), ([first, second, key]) => {
    const line = (type: string, words: string[]) => ({ lengthSectors: 8, type, parameters: first + words.join(second) })
    same(secretsOf(line('crypt', ['aes-xts-plain64', key, '0', '7:0', '0'])), [key])
    same(secretsOf(line('integrity', ['7:0', '0', '-', 'J', '1', `journal_mac:hmac(sha256):${key}`])), [key])
  })
  everywhere(5000, fc.tuple(fc.constantFrom('crypt', 'integrity', 'linear'), anyText), ([type, parameters]) => {
    for (const secret of secretsOf({ type, parameters })) holds(parameters.includes(secret), secret)
  })
})

test('startTimeIn finds the start time in /proc/PID/stat after any process name', () => {
  everywhere(10_000, fc.tuple(anyText, fc.array(fc.nat(), { minLength: 30, maxLength: 50 })), ([name, fields]) => {
    const text = `7 (${name}) S ${fields.join(' ')}\n`
    same(startTimeIn(text), String(fields[18]))
    same(startTimeIn(`7 (${name}) Z ${fields.join(' ')}\n`), undefined)
  })
  everywhere(10_000, anyText, text => {
    outcome(() => startTimeIn(text))
    same(ownerIsGone(text), false)
  })
})

describe('lists of devices and versions', () => {
  const device = fc.record({
    device: fc.integer({ min: 0xfd00, max: 0xfd05 }),
    name: fc.constantFrom('a', 'b', '__proto__', ''),
    uuid: fc.constantFrom('', 'u', 'v'),
    eventNumber: fc.oneof(fc.nat(3), fc.nat(2 ** 32 - 1)),
  })
  const list = fc.array(device, { maxLength: 6 })

  test('the events of changesBetween turn the first list of devices into the second', () => {
    everywhere(10_000, fc.tuple(list, list), ([before, after]) => {
      const seen = new Map<string, string[]>(before.map(each => [deviceNumber(each.device), [each.name, each.uuid]]))
      for (const event of changesBetween(known(before), known(after))) {
        if (event.type === 'removed') same(seen.delete(event.device), true)
        else seen.set(event.device, [event.name, event.uuid])
        if (event.type === 'event') holds(event.count! > 0, event)
      }
      const last = new Map<string, string[]>(
        after.map((each: ListedDevice) => [deviceNumber(each.device), [each.name, each.uuid]]),
      )
      same(seen, last)
    })
  })

  test('capabilitiesOf accepts any versions', () => {
    const versions = fc.array(fc.record({ name: anyText, version: fc.array(fc.nat()) }), { maxLength: 5 })
    everywhere(5000, fc.tuple(fc.array(fc.nat(60), { maxLength: 3 }), versions), ([version, targets]) => {
      const { features, targets: read } = capabilitiesOf(version, targets)
      same(
        Object.values(features).every(each => typeof each === 'boolean'),
        true,
      )
      same(read.size, new Set(targets.map(({ name }) => name)).size)
    })
  })
})
