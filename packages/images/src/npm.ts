import { readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { run, type Progress } from './run.ts';

const downloadTimeoutMs = 20 * 60_000;

/** How {@link downloadNpm} works. */
export interface DownloadOptions {
  /** Prefix to install into: gets `bin` and `lib/node_modules`. */
  npmDir: string;
  /** Empty directory for npm's own files. */
  home: string;
  progress: Progress;
  signal?: AbortSignal | undefined;
}

/** Downloads npm packages with the host's npm and its settings. Runs none of their code. */
export async function downloadNpm(
  packages: readonly string[],
  { npmDir, home, progress, signal }: DownloadOptions,
): Promise<void> {
  progress(`downloading npm packages: ${packages.join(' ')}`);
  const quiet = ['--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error'];
  await run('npm', ['install', '--global', '--prefix', npmDir, '--ignore-scripts', ...quiet, ...packages], {
    signal,
    timeoutMs: downloadTimeoutMs,
    onLine: progress,
    env: npmEnvironment(home),
  });
}

/**
 * The caller's environment without what `npm run` put in. npm runs with the Node that runs this program, because packages refuse older
 * ones; it reads the caller's settings and keeps its own files in `home`.
 */
function npmEnvironment(home: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^npm_(?!config_registry$)/i.test(name));
  return {
    NPM_CONFIG_USERCONFIG: join(homedir(), '.npmrc'),
    ...Object.fromEntries(kept),
    PATH: [dirname(process.execPath), process.env['PATH']].join(delimiter),
    HOME: home,
  };
}

/** Versions of the packages installed globally in a system, by name. */
export async function npmVersions(tree: string): Promise<Record<string, string>> {
  const root = join(tree, 'usr/local/lib/node_modules');
  const versions: Record<string, string> = {};
  for (const name of await packageNames(root)) {
    const { version } = JSON.parse(await readFile(join(root, name, 'package.json'), 'utf8')) as { version: string };
    versions[name] = version;
  }
  return versions;
}

async function packageNames(root: string): Promise<string[]> {
  const names: string[] = [];
  for (const name of await readdir(root).catch((): string[] => [])) {
    // No directory: the image has no npm packages. A scope's directory holds the packages of that scope.
    if (name.startsWith('.')) continue;
    if (name.startsWith('@')) names.push(...(await readdir(join(root, name))).map((child) => `${name}/${child}`));
    else names.push(name);
  }
  return names;
}
