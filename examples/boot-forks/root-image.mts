// The root disk of the virtual machines: an ext4 image with busybox as its only program and a script as its first process.
import { execFile } from 'node:child_process'
import { access, chmod, copyFile, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const SIZE = '16M'

/**
 * `name`, `task` and `end` are words of the kernel's command line. The files of the counter are overwritten in place, and
 * `sync` flushes the disk after each write: at each moment, the first counter is equal to the second or one ahead of it.
 */
const INIT = `#!/bin/busybox sh
bb=/bin/busybox
found=nothing
if [ -f /name ]; then read found </name; fi
echo "found $found"
if [ -f /first ]; then
  read first </first
  read second </second
  echo "counters $first $second"
fi
echo "$name" >/name
$bb yes "$name" | $bb head -c 1048576 >/data
echo 00000000 >/first
echo 00000000 >/second
$bb sync
echo "wrote $name"
count=0
while [ "$task" = count ]; do
  count=$((count + 1))
  printf '%08d' $count 1<>/first
  $bb sync
  printf '%08d' $count 1<>/second
  $bb sync
  echo "counted $count"
  $bb sleep 0.1
done
echo "ends"
$bb $end -f
`

/** Creates the image `root.img` in a folder and returns its path. */
export async function makeRootImage(folder: string): Promise<string> {
  const tree = path.join(folder, 'root')
  for (const each of ['bin', 'dev']) await mkdir(path.join(tree, each), { recursive: true })
  await copyFile(await find('busybox'), path.join(tree, 'bin/busybox'))
  await writeFile(path.join(tree, 'init'), INIT)
  for (const each of ['bin/busybox', 'init']) await chmod(path.join(tree, each), 0o755)
  const image = path.join(folder, 'root.img')
  await run('mkfs.ext4', ['-q', '-F', '-b', '4096', '-d', tree, image, SIZE])
  return image
}

/** Returns the path of a program. */
async function find(program: string): Promise<string> {
  for (const folder of (process.env.PATH ?? '').split(':').filter(Boolean)) {
    const file = path.join(folder, program)
    if (
      await access(file).then(
        () => true,
        () => false,
      )
    )
      return file
  }
  throw new Error(`${program} is not on PATH: Debian has it in the package busybox-static`)
}
