/** dm_split_args of drivers/md/dm-table.c, byte for byte. */
export function splitAsKernel(line: string): string[] {
  const isBlank = (byte: number) => byte === 32 || (byte >= 9 && byte <= 13) || byte === 0xa0
  const bytes = Buffer.from(line)
  const words: string[] = []
  let at = 0
  for (;;) {
    while (at < bytes.length && isBlank(bytes[at]!)) at++
    if (at >= bytes.length) return words
    const word: number[] = []
    for (; at < bytes.length && !isBlank(bytes[at]!); at++) {
      if (bytes[at] === 0x5c && at + 1 < bytes.length) at++
      word.push(bytes[at]!)
    }
    words.push(Buffer.from(word).toString())
  }
}
