import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where a system's own package sources live. */
const aptDir = '/etc/apt';
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** One archive of a source entry. */
interface Source {
  uri: string;
  suite: string;
  components: readonly string[];
  signedBy: string | undefined;
}

/** Mirrors of the Debian archive that a machine uses. */
export interface Mirrors {
  main: string;
  security: string | undefined;
}

/**
 * Source lines for mmdebstrap, so that a machine with its own mirror uses that mirror for guests too. Empty when the machine's sources
 * name no Debian mirror: mmdebstrap then takes its default.
 */
export async function debianSources(suite: string): Promise<string[]> {
  const mirrors = findMirrors(await systemSources(), await systemCodename());
  return mirrors ? sourceLines(mirrors, suite) : [];
}

/** Picks the Debian archive out of a machine's sources: its release's `main` over HTTP, signed by Debian's keys. */
export function findMirrors(sources: readonly Source[], codename: string): Mirrors | undefined {
  const debian = sources.filter(
    (source) =>
      /^https?:/.test(source.uri) &&
      source.components.includes('main') &&
      (source.signedBy === undefined || source.signedBy.includes('debian-archive')),
  );
  const main = debian.find((source) => source.suite === codename)?.uri;
  if (main === undefined) return undefined;
  return { main, security: debian.find((source) => source.suite === `${codename}-security`)?.uri };
}

function sourceLines({ main, security }: Mirrors, suite: string): string[] {
  const line = (uri: string, name: string): string => `deb [signed-by=${keyring}] ${uri} ${name} main`;
  return [
    line(main, suite),
    line(main, `${suite}-updates`),
    ...(security === undefined ? [] : [line(security, `${suite}-security`)]),
  ];
}

/** Reads one-line (`deb …`) and deb822 source texts (sources.list(5)); disabled and source-code entries are left out. */
export function parseSources(text: string, format: 'list' | 'deb822'): Source[] {
  return format === 'list' ? text.split('\n').flatMap(parseLine) : text.split(/\n[ \t]*\n/).flatMap(parseStanza);
}

function parseLine(line: string): Source[] {
  const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
  if (!match) return [];
  const [, options = '', uri = '', suite = '', components = ''] = match;
  return [{ uri, suite, components: words(components), signedBy: /(?:^|\s)signed-by=(\S+)/i.exec(options)?.[1] }];
}

function parseStanza(stanza: string): Source[] {
  const fields = new Map<string, string>();
  let current = '';
  for (const line of stanza.split('\n')) {
    if (line.startsWith('#')) continue;
    const field = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
    if (field) {
      current = (field[1] ?? '').toLowerCase();
      fields.set(current, field[2] ?? '');
    } else if (/^\s/.test(line)) fields.set(current, `${fields.get(current) ?? ''} ${line.trim()}`);
  }
  if (
    !words(fields.get('types')).includes('deb') ||
    /^(no|false|0|off|disable)$/i.test(fields.get('enabled')?.trim() ?? 'yes')
  )
    return [];
  return words(fields.get('uris')).flatMap((uri) =>
    words(fields.get('suites')).map((suite) => ({
      uri,
      suite,
      components: words(fields.get('components')),
      signedBy: fields.get('signed-by'),
    })),
  );
}

function words(text: string | undefined): string[] {
  return (text ?? '').split(/\s+/).filter(Boolean);
}

async function systemSources(): Promise<Source[]> {
  const parts = await readdir(join(aptDir, 'sources.list.d')).catch((): string[] => []); // absent on a machine that is not Debian: no sources
  const files = [join(aptDir, 'sources.list'), ...parts.toSorted().map((name) => join(aptDir, 'sources.list.d', name))];
  const sources: Source[] = [];
  for (const file of files) {
    const format = file.endsWith('.list') ? 'list' : file.endsWith('.sources') ? 'deb822' : undefined;
    if (format === undefined) continue;
    const text = await readFile(file, 'utf8').catch(() => ''); // absent or unreadable: apt would not use it either
    sources.push(...parseSources(text, format));
  }
  return sources;
}

async function systemCodename(): Promise<string> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => ''); // absent: no codename, so no mirror is found
  return /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(release)?.[1] ?? '';
}
