// The states of volumes that are sent and received, as headers of streams and records of pools have them.
import { count, list, object, text, type JsonObject } from '../../base/json-fields.js'

/** A state of a volume that was never written since: see lib/transfer/state.ts. */
export interface FrozenState {
  /** The uuid of the pool's mapped device, which is new at each start of the pool. */
  readonly start: string
  /** The thin id of the volume. */
  readonly volume: number
  /** The snapshot clock of the pool when the volume was created. */
  readonly time: number
  readonly mappedBlocks: number
}

/** The state from which an incremental stream leads. */
export interface BaseState extends Omit<FrozenState, 'start'> {
  /** The starts of the pool since which nothing was lost, the oldest first: the state is the same in each. */
  readonly starts: readonly string[]
}

/** The states between which a stream leads. */
export interface SentStates {
  /** The state of the volume that was sent. */
  readonly target: FrozenState
  /** The state from which the stream leads; undefined for a full stream. */
  readonly base?: BaseState | undefined
}

/** An interrupted receive, which can continue. */
export interface PartialReceive extends SentStates {
  /** The offset before which everything is written and on the disk. */
  readonly offset: number
  /** The snapshot clock of the pool when the volume was created. */
  readonly time: number
  /** True if the volume was activated for writing since, other than to continue. */
  readonly writable?: true | undefined
}

/** The state of a volume that was received, in its own pool. */
export interface KeptState extends FrozenState {
  /** The root of its mapping tree; undefined in records of earlier versions. */
  readonly root?: { readonly block: number; readonly checksum: number } | undefined
}

/** A volume that was received. */
export interface Received {
  readonly sent: FrozenState
  readonly kept: KeptState
  /** True if the volume was activated for writing since. */
  readonly writable?: true | undefined
}

/** Returns the entry of a volume into which a call receives. Throws TypeError if it is not valid. */
export function receivingIn(value: unknown): true | PartialReceive {
  if (value === true) return true
  const state = object(value)
  return { ...statesIn(state), offset: count(state['offset']), time: count(state['time']), ...writableIn(state) }
}

/** Returns the entry of a volume that was received. Throws TypeError if it is not valid. */
export const receivedIn = (value: JsonObject): Received => ({
  sent: stateIn(object(value['sent'])),
  kept: keptIn(object(value['kept'])),
  ...writableIn(value),
})

const writableIn = ({ writable }: JsonObject) => (writable === undefined ? {} : { writable: true as const })

function keptIn(state: JsonObject): KeptState {
  const root = state['root'] === undefined ? undefined : object(state['root'])
  return {
    ...stateIn(state),
    ...(root && { root: { block: count(root['block']), checksum: count(root['checksum']) } }),
  }
}

const stateIn = (state: JsonObject): FrozenState => ({ start: text(state['start']), ...identityIn(state) })

const baseIn = (state: JsonObject): BaseState => ({ starts: list(state['starts']).map(text), ...identityIn(state) })

const identityIn = (state: JsonObject) => ({
  volume: count(state['volume']),
  time: count(state['time']),
  mappedBlocks: count(state['mappedBlocks']),
})

/** Returns the states between which a stream leads. Throws TypeError if they are not valid. */
export const statesIn = (value: JsonObject): SentStates => ({
  target: stateIn(object(value['target'])),
  ...(value['base'] === undefined ? {} : { base: baseIn(object(value['base'])) }),
})
