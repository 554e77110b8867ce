// All devices of a machine that has many, looked at afterwards one by one: a list that is fast and wrong is worth nothing.
import { DeviceMapper } from 'dm-thin/kernel'

const NAME = 'dmthinbench-l-'
const UUID = 'DMTHINBENCH-L-'

/** Each of the `count` devices once, with its own uuid, and no event yet. */
function check(list, count) {
  const own = list.filter(({ name }) => name.startsWith(NAME))
  const right = own.filter(({ name, uuid, device, eventNumber }) => {
    return uuid === UUID + name.slice(NAME.length) && /^\d+:\d+$/.test(device) && eventNumber === 0
  })
  const distinct = new Set(own.flatMap(({ name, device }) => [name, device]))
  if (right.length !== count || distinct.size !== 2 * count) throw new Error('the list is not whole, or not right')
}

export async function measureList(samples, { count, repeats }) {
  const mapper = await DeviceMapper.open()
  for (let repeat = 0; repeat < repeats; repeat++) {
    check(await samples.time('list-10k', () => mapper.listDevices()), count)
  }
  const some = await mapper.listDevices({ namePrefix: `${NAME}000` })
  if (some.length !== 100 || some.some(({ name }) => !name.startsWith(`${NAME}000`))) {
    throw new Error('the prefix filter gave others than its own')
  }
}
