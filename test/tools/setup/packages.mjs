// Which Debian packages the commands need, and how to see that one is there. Pure data and pure functions.

/**
 * `files` are programs (looked for on PATH) or, with a slash, paths; one of them is enough.
 * @typedef {{ name: string, files: string[], group: Group }} Package
 * `build`, `dev`, `cross` and `fuzz` are installed, the others are unpacked into the cache: see tools.mjs.
 * @typedef {'build' | 'dev' | 'cross' | 'fuzz' | 'guest' | 'qemu' | 'peers'} Group
 */

/** @type {Package[]} */
export const PACKAGES = [
  { group: 'build', name: 'g++', files: ['g++', 'c++'] },
  { group: 'build', name: 'make', files: ['make'] },
  { group: 'build', name: 'python3', files: ['python3'] },
  { group: 'dev', name: 'cmake', files: ['cmake'] },
  { group: 'cross', name: 'g++-aarch64-linux-gnu', files: ['aarch64-linux-gnu-g++'] },
  { group: 'fuzz', name: 'clang-19', files: ['clang++-19'] },
  {
    group: 'fuzz',
    name: 'libclang-rt-19-dev',
    files: ['x86_64', 'aarch64'].map(arch => `/usr/lib/llvm-19/lib/clang/19/lib/linux/libclang_rt.fuzzer-${arch}.a`),
  },
  { group: 'qemu', name: 'qemu-system-x86', files: ['qemu-system-x86_64'] },
  { group: 'qemu', name: 'virtiofsd', files: ['/usr/libexec/virtiofsd', '/usr/lib/qemu/virtiofsd', 'virtiofsd'] },
  { group: 'qemu', name: 'xz-utils', files: ['xz'] },
  { group: 'guest', name: 'kmod', files: ['modprobe'] },
  { group: 'guest', name: 'dmsetup', files: ['dmsetup'] },
  { group: 'guest', name: 'thin-provisioning-tools', files: ['thin_check'] },
  { group: 'guest', name: 'e2fsprogs', files: ['mkfs.ext4'] },
  { group: 'peers', name: 'udev', files: ['/usr/lib/systemd/systemd-udevd', '/lib/systemd/systemd-udevd'] },
  { group: 'peers', name: 'systemd', files: ['/usr/lib/systemd/systemd', '/lib/systemd/systemd'] },
  { group: 'peers', name: 'libdevmapper-dev', files: ['/usr/include/libdevmapper.h'] },
  { group: 'peers', name: 'lvm2', files: ['lvm'] },
  { group: 'peers', name: 'strace', files: ['strace'] },
  { group: 'peers', name: 'xfsprogs', files: ['mkfs.xfs'] },
  { group: 'peers', name: 'dosfstools', files: ['mkfs.vfat'] },
  { group: 'peers', name: 'btrfs-progs', files: ['mkfs.btrfs'] },
  { group: 'peers', name: 'f2fs-tools', files: ['mkfs.f2fs'] },
  { group: 'peers', name: 'squashfs-tools', files: ['mksquashfs'] },
  { group: 'peers', name: 'erofs-utils', files: ['mkfs.erofs'] },
  { group: 'peers', name: 'cryptsetup-bin', files: ['cryptsetup'] },
  {
    group: 'peers',
    name: 'chromium-headless-shell',
    files: ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome'],
  },
  { group: 'peers', name: 'binutils', files: ['readelf'] },
  { group: 'peers', name: 'libarchive-tools', files: ['bsdtar'] },
  { group: 'peers', name: 'busybox-static', files: ['busybox'] },
]

/**
 * Unpacked into a cache folder and never installed: see clients.mjs. `clients` for the guest, `suite` to build one
 * program and then deleted again.
 */
export const UNPACKED = {
  clients: ['containerd', 'runc', 'docker.io', 'docker-cli', 'docker-registry', 'busybox-static'],
  suite: ['golang-go', 'golang-github-containerd-containerd-dev', 'golang-github-stretchr-testify-dev'],
}

/** What each group is for, as it is said before anything is installed. */
export const PURPOSE = {
  build: 'to build the native part',
  dev: 'for the build with fault hooks',
  cross: 'for the shipped binary for arm64',
  fuzz: 'to fuzz the native parsers',
  guest: 'for a virtual machine',
  qemu: 'for the virtual machine with a second kernel and two processors',
  peers: 'as independent checks and peers in tests',
}

/**
 * @param {Group[]} groups
 * @param {{ exists: (path: string) => boolean, path: string[], headers: boolean }} machine
 * @returns {Package[]}
 */
export function missingPackages(groups, machine) {
  const present = file =>
    file.includes('/') ? machine.exists(file) : machine.path.some(folder => machine.exists(`${folder}/${file}`))
  const missing = PACKAGES.filter(({ group, files }) => groups.includes(group) && !files.some(present))
  if (groups.includes('build') && !machine.headers) {
    missing.push({ group: 'build', name: 'libnode-dev', files: [] })
  }
  return missing
}

/** @param {Package[]} missing */
export function installCommand(missing) {
  return `apt-get install -y --no-install-recommends ${missing.map(({ name }) => name).join(' ')}`
}

/** @param {string} osRelease the text of /etc/os-release */
export function distribution(osRelease) {
  const field = name => new RegExp(`^${name}="?([^"\\n]*)"?$`, 'm').exec(osRelease)?.[1]
  return { debian: field('ID') === 'debian', name: field('PRETTY_NAME') ?? field('ID') ?? 'this distribution' }
}
