// Docker with containerd's image store on the example's server: load, run, commit, rm.
import { execFile } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import {
  collectGarbage,
  mappedMounts,
  SNAPSHOTTER,
  snapshots,
  withStack,
  type Stack,
} from '../helpers/containerd/containerd.js'
import { makeImage } from '../helpers/store/oci-image.js'
import { useScratch } from '../helpers/kernel/scratch.js'
import { clientEnvironment, PATIENCE_MS, unpacked } from '../helpers/containerd/snapshotter.js'
import { Daemon } from '../helpers/process/daemon.js'

const scratch = useScratch()
const execute = promisify(execFile)
const IMAGE = 'docker.io/library/dockers:1'

test(
  'Docker loads an image, runs, changes and commits it, and removes all of it',
  () => withStack(scratch, useDocker, { collects: 'on request' }),
  PATIENCE_MS,
)

async function useDocker(stack: Stack): Promise<void> {
  const at = (name: string) => path.join(stack.folder, name)
  const config = {
    hosts: [`unix://${at('docker.sock')}`],
    containerd: stack.socket,
    'data-root': at('docker'),
    'exec-root': at('docker-state'),
    pidfile: at('docker.pid'),
    features: { 'containerd-snapshotter': true },
    'storage-driver': SNAPSHOTTER,
    // A guest without a network has none of these.
    bridge: 'none',
    iptables: false,
    ip6tables: false,
    'userland-proxy': false,
  }
  writeFileSync(at('docker.json'), JSON.stringify(config))
  const args = ['--config-file', at('docker.json')]
  const dockerd = new Daemon(unpacked('/usr/sbin/dockerd'), args, clientEnvironment({ HOME: stack.folder }))
  const docker = async (...words: string[]): Promise<string> => {
    const env = clientEnvironment({ DOCKER_HOST: config.hosts[0]!, HOME: stack.folder })
    return (await execute(unpacked('/usr/bin/docker'), words, { env, timeout: PATIENCE_MS / 3 })).stdout
  }
  try {
    await dockerd.until('it made its socket', () => existsSync(at('docker.sock')))
    expect(await docker('info', '--format', '{{.Driver}}')).toBe(`${SNAPSHOTTER}\n`)

    const archive = at('image.tar')
    const layers = [{ 'etc/lower': 'lower\n' }, { 'etc/upper': 'upper\n' }]
    const busybox = unpacked('/usr/bin/busybox')
    makeImage({ folder: at('image'), name: IMAGE, busybox, layers, archive })
    expect(await docker('load', '--input', archive)).toMatch(/Loaded image: dockers:1/)

    // To a file, as in the tests of containerd: the relay of a container's output can lose its end.
    const run = ['run', '--network', 'none', '--volume', `${at('shared')}:/run/shared`, '--name']
    const printed = () => readFileSync(at('shared/output'), 'utf8')
    const script = 'exec > /run/shared/output 2>&1; cat /etc/lower /etc/upper; echo own > /own'
    await docker(...run, 'one', 'dockers:1', 'sh', '-c', script)
    expect(printed()).toBe('lower\nupper\n')
    expect(await docker('diff', 'one')).toContain('A /own')
    await docker('commit', 'one', 'dockers:2')
    await docker(...run, 'two', '--rm', 'dockers:2', 'sh', '-c', 'cat /own > /run/shared/output')
    expect(printed()).toBe('own\n')
    expect(await docker('cp', 'one:/own', '-')).toContain('own\n')

    await docker('rm', 'one')
    await docker('rmi', 'dockers:1', 'dockers:2')
    while ((await snapshots(stack, 'moby')).length > 0) await collectGarbage(stack, 'moby')
    expect(await dockerd.end()).toBe(0)
    expect(mappedMounts()).toEqual([])
  } catch (fault) {
    process.stderr.write(`dockerd said:\n${dockerd.output}\n`)
    throw fault
  } finally {
    await dockerd.end('SIGKILL')
  }
}
