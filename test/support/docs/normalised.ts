/** An output without what differs from run to run: ids, times, numbers of processes, ports, sizes and widths. */
export const normalised = (text: string): string =>
  text
    .replaceAll(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, 'ID')
    .replaceAll(/\b([0-9a-f]{12}|[0-9a-f]{8})\b/g, 'ID')
    .replaceAll(/\bses_\w+/g, 'SESSION')
    .replaceAll(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?/g, 'TIME')
    .replaceAll(/\b\d+(\.\d+)? ?(ms|s|min|m|h|d|kB|[KMGT]iB|%)(?![\w])/g, 'N')
    .replaceAll(/\bpid \d+/g, 'pid N')
    .replaceAll(/(127\.0\.0\.1|localhost):\d+/g, 'HOST:PORT')
    .replaceAll(/[ \t]+/g, ' ')
    .replaceAll(/ +$/gm, '')
    .trim()
