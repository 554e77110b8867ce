// The owner of a loop device, which the kernel does not know. Code that attaches a loop device and keeps it therefore
// writes its process id into the device's reference (lo_file_name), with the start time, because process ids are
// reused.
import { readFileSync, readlinkSync } from 'node:fs'

const MARK = /^dm-thin:(\d+):(\d+):(\d+)$/

interface Owner {
  readonly pid: number
  readonly startTime: string
  readonly namespace: string
}

/**
 * Returns the start time of a process, in ticks since boot (proc(5), field 22); undefined if there is no such process.
 */
function startTime(pid: number | 'self'): string | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  return startTimeIn(text)
}

/** Returns the start time in the text of `/proc/PID/stat`. */
export function startTimeIn(text: string): string | undefined {
  // The name before these fields is in parentheses, and may itself contain blanks and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state, time] = [fields[0], fields[19]]
  // A process that has ended and was not yet waited for owns nothing.
  return state === 'Z' || state === 'X' ? undefined : time
}

/** Returns the pid namespace, within which process ids are unique. */
function pidNamespace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0'
  } catch {
    return '0'
  }
}

/** Returns the mark of this process, at most 63 bytes, which is what the kernel keeps. */
export function ownMark(): string {
  return `dm-thin:${process.pid}:${startTime('self') ?? 0}:${pidNamespace()}`
}

function ownerOf(reference: string): Owner | undefined {
  const [, pid, time, namespace] = MARK.exec(reference) ?? []
  if (pid === undefined || time === undefined || namespace === undefined) return undefined
  return { pid: Number(pid), startTime: time, namespace }
}

/**
 * Returns true if the process that made the mark has certainly ended. A process of another container cannot be checked.
 */
export function ownerIsGone(reference: string): boolean {
  const owner = ownerOf(reference)
  return owner !== undefined && owner.namespace === pidNamespace() && startTime(owner.pid) !== owner.startTime
}
