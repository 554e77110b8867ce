// Whose loop device it is. The kernel does not know; so what attaches one and does not hand it over leaves its own
// number in the device's reference (lo_file_name), and the start time, since numbers are used again.
import { readFileSync, readlinkSync } from 'node:fs'

const MARK = /^dm-thin:(\d+):(\d+):(\d+)$/

interface Owner {
  readonly pid: number
  readonly startTime: string
  readonly namespace: string
}

/** The start time of a process, in ticks since boot (proc(5), field 22); undefined where there is none. */
function startTime(pid: number | 'self'): string | undefined {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  return startTimeIn(text)
}

/** Of `/proc/PID/stat`. */
export function startTimeIn(text: string): string | undefined {
  // The name before it is in parentheses, and may have blanks and parentheses itself.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state, time] = [fields[0], fields[19]]
  // What is dead and not yet waited for owns nothing.
  return state === 'Z' || state === 'X' ? undefined : time
}

/** Numbers of processes mean something within one namespace. */
function pidNamespace(): string {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0'
  } catch {
    return '0'
  }
}

/** At most 63 bytes, which is what the kernel keeps. */
export function ownMark(): string {
  return `dm-thin:${process.pid}:${startTime('self') ?? 0}:${pidNamespace()}`
}

function ownerOf(reference: string): Owner | undefined {
  const [, pid, time, namespace] = MARK.exec(reference) ?? []
  if (pid === undefined || time === undefined || namespace === undefined) return undefined
  return { pid: Number(pid), startTime: time, namespace }
}

/** Whether the process that marked it is certain to be gone. One of another container cannot be looked for. */
export function ownerIsGone(reference: string): boolean {
  const owner = ownerOf(reference)
  return owner !== undefined && owner.namespace === pidNamespace() && startTime(owner.pid) !== owner.startTime
}
