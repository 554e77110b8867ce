// Where a store is in its work, for whoever looks on: a diagnostics channel, which costs nothing while nobody does.
import { channel } from 'node:diagnostics_channel'

/** What is published on `dm-thin:store`, before each step of each call. */
export interface StoreStep {
  /** `prepare.intent`, `commit.deactivate` … */
  readonly step: string
  /** The layer's key. */
  readonly key: string
}

const steps = channel('dm-thin:store')

export function step(name: string, key: string): void {
  if (steps.hasSubscribers) steps.publish({ step: name, key } satisfies StoreStep)
}
