// What thin_delta and thin_dump report of a metadata image.
import type { DeltaRange, MappedRange } from '../../../lib/metadata/ranges.js'
import { run } from '../process/spawned.js'

const TYPES = { left_only: 'leftOnly', right_only: 'rightOnly', different: 'different', same: 'same' } as const

const attribute = (tag: string, name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(tag)![1])

/** The ranges of `thin_delta`, those that are the same included. `options`: such as `--metadata-snap`. */
export function thinDelta(file: string, left: number, right: number, options: readonly string[] = []): DeltaRange[] {
  const text = run('thin_delta', [...options, '--snap1', `${left}`, '--snap2', `${right}`, file])
  const tags = text.match(/<(left_only|right_only|different|same) [^>]*>/g) ?? []
  return tags.map(tag => ({
    type: TYPES[/^<(\w+)/.exec(tag)![1] as keyof typeof TYPES],
    begin: attribute(tag, 'begin'),
    length: attribute(tag, 'length'),
  }))
}

/** The mappings of each volume, as `thin_dump` lists them, by id. Shared ones are listed once there, by a name. */
export function thinDump(file: string, options: readonly string[] = []): Map<number, MappedRange[]> {
  const text = run('thin_dump', [...options, file])
  const shared = new Map([...text.matchAll(/<def name="(\w+)">(.*?)<\/def>/gs)].map(([, name, body]) => [name!, body!]))
  const devices = text.matchAll(/<device dev_id="(\d+)"[^>]*>(.*?)<\/device>/gs)
  const whole = (body: string) => body.replaceAll(/<ref name="(\w+)"\/>/g, (_, name: string) => shared.get(name)!)
  return new Map([...devices].map(([, id, body]) => [Number(id), joined(mappingsIn(whole(body!)))]))
}

function mappingsIn(body: string): MappedRange[] {
  const tags = body.match(/<(single_mapping|range_mapping) [^>]*>/g) ?? []
  return tags.map(tag => {
    const isRange = tag.startsWith('<range')
    return {
      begin: attribute(tag, isRange ? 'origin_begin' : 'origin_block'),
      length: isRange ? attribute(tag, 'length') : 1,
      data: attribute(tag, isRange ? 'data_begin' : 'data_block'),
      time: attribute(tag, 'time'),
    }
  })
}

/** Joins ranges that the limit between two names has cut. */
function joined(ranges: readonly MappedRange[]): MappedRange[] {
  const all: MappedRange[] = []
  for (const range of ranges) {
    const last = all.at(-1)
    const follows = last && last.begin + last.length === range.begin && last.data + last.length === range.data
    if (follows && last.time === range.time) all[all.length - 1] = { ...last, length: last.length + range.length }
    else all.push(range)
  }
  return all
}
