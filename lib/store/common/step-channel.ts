// The diagnostics channel of the store's steps. It costs next to nothing without subscribers.
import { channel } from 'node:diagnostics_channel'

/** The message on `dm-thin:store`, which is published before each step of each call. */
export interface StoreStep {
  /** The name of the step, such as `prepare.record` or `commit.deactivate`. */
  readonly step: string
  /** The key of the layer; `''` for a step that concerns the whole store. */
  readonly key: string
}

const steps = channel('dm-thin:store')

export function step(name: string, key: string): void {
  if (steps.hasSubscribers) steps.publish({ step: name, key } satisfies StoreStep)
}
