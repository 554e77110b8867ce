// Extended attributes by perl's syscall(): Node has no call for them, and attr is not on every machine.
import { runForBytes } from '../process/spawned.js'

const NUMBERS = process.arch === 'arm64' ? { set: 6, get: 9, list: 12 } : { set: 189, get: 192, list: 195 }

const SET = `
my ($number, $path, $name, $value) = @ARGV;
$value = pack 'H*', $value;
syscall($number + 0, $path, $name, $value, length $value, 0) == 0 or die "lsetxattr $path: $!\\n";
`

// Paths come ended by NUL; for each there is a line of name=hex words, in order.
const LIST = `
my ($get, $list) = map { $_ + 0 } @ARGV;
local $/ = "\\0";
while (my $path = <STDIN>) {
  chomp $path;
  my $names = "\\0" x 65536;
  my $length = syscall($list, $path, $names, 65536);
  my @words;
  for my $name (sort split /\\0/, substr $names, 0, $length > 0 ? $length : 0) {
    next if $name eq 'security.selinux';
    my $value = "\\0" x 65536;
    my $bytes = syscall($get, $path, $name, $value, 65536);
    push @words, $name . '=' . unpack 'H*', substr $value, 0, $bytes;
  }
  print "@words\\n";
}
`

const perl = (script: string, args: readonly string[], input?: Buffer): string =>
  runForBytes('perl', ['-we', script, ...args], input).toString('latin1')

/** lsetxattr(2). */
export function setExtendedAttribute(path: string, name: string, value: Buffer): void {
  perl(SET, [String(NUMBERS.set), path, name, value.toString('hex')])
}

/** For each path its attributes as words `name=hex`. */
export function extendedAttributes(paths: readonly Buffer[]): string[] {
  if (paths.length === 0) return []
  const input = Buffer.concat(paths.flatMap(each => [each, Buffer.alloc(1)]))
  return perl(LIST, [String(NUMBERS.get), String(NUMBERS.list)], input)
    .split('\n')
    .slice(0, -1)
}
