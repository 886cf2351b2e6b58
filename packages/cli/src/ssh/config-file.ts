import { readFile, realpath, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { hostName, quoted, type SshTarget, shortHash, sshSettings, write } from './ssh-target.ts';

const include = 'Include sylph/*.conf';

/** `Host` blocks for sprites. */
export function hostBlocks(target: SshTarget, sprites: readonly string[]): string {
  return sprites
    .map((sprite) => {
      const settings: [string, string][] = [['User', target.user(sprite)], ...sshSettings(target)];
      return `Host ${hostName(sprite)}\n${settings.map(([name, value]) => `  ${name} ${quoted(value)}\n`).join('')}`;
    })
    .join('\n');
}

/** Puts blocks into a file of their own below ~/.ssh, one per server, which ~/.ssh/config includes from then on. Whatever else that says stays. Whether anything changed. */
export async function writeHostBlocks(
  blocks: string,
  { url, env }: { url: string; env: NodeJS.ProcessEnv },
): Promise<{ file: string; changed: boolean }> {
  const ssh = join(env['HOME'] ?? homedir(), '.ssh');
  const file = join(ssh, 'sylph', `${shortHash(url)}.conf`);
  const head = `# Written by \`sylph ssh-config --write\` for ${url}; changes are lost.\n\n`;
  const isNew = await write(file, head + blocks);
  const isIncluded = await includeThem(join(ssh, 'config'));
  return { file, changed: isNew || isIncluded };
}

/** In front of everything: what stands behind a `Host` line counts for that host only. */
async function includeThem(config: string): Promise<boolean> {
  // It may be a link into a person's collection of such files.
  const path = await realpath(config).catch(() => config);
  const before = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  if (before.split('\n').some((line) => line.trim() === include)) return false;
  const mode = (await stat(path).catch(() => undefined))?.mode ?? 0o600;
  return write(path, `${include}\n\n${before}`, mode & 0o777);
}
