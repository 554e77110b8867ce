// The log of strace, of which several processes write calls at the same time.
import { completeCalls } from '../../helpers/process/strace.js'

test('a call in two lines is one call, with its result', () => {
  const log = [
    '10 execve("/bin/a", ["a"], 0x7ffe /* 3 vars */) = 0',
    '10 vfork( <unfinished ...>',
    '11 execve("/sbin/mkfs", ["mkfs"], 0x7ffe <unfinished ...>',
    '12 execve("/bin/mkfs", ["mkfs"], 0x7ffe <unfinished ...>',
    '11 <... execve resumed>) = -1 ENOENT (No such file or directory)',
    '10 <... vfork resumed>) = 11',
    '12 <... execve resumed>) = 0',
    '',
  ].join('\n')
  expect(completeCalls(log)).toEqual([
    '10 execve("/bin/a", ["a"], 0x7ffe /* 3 vars */) = 0',
    '11 execve("/sbin/mkfs", ["mkfs"], 0x7ffe) = -1 ENOENT (No such file or directory)',
    '10 vfork() = 11',
    '12 execve("/bin/mkfs", ["mkfs"], 0x7ffe) = 0',
  ])
})

test('a call that did not end is not among the calls', () => {
  expect(completeCalls('10 clone(flags=SIGCHLD <unfinished ...>\n11 fork() = 12\n')).toEqual(['11 fork() = 12'])
})
