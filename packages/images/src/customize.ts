import type { ImageSpec } from './spec.ts';

/** Quotes a text as one word of a POSIX shell. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * The script mmdebstrap runs when all packages are installed, with the system's directory as its argument. Everything but npm's download
 * happens inside that system. `filesDir` holds the spec's files as `0`, `1`, …; `npm` is the host's npm command.
 */
export function customizeScript(
  spec: ImageSpec,
  { filesDir, npm }: { filesDir: string; npm: readonly string[] },
): string {
  return [
    '#!/bin/bash',
    'set -euo pipefail',
    'tree=$1',
    'inside() { env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$tree" "$@"; }',
    ...accountLines(spec.user),
    ...fileLines(spec.files, filesDir),
    ...npmLines(spec.npm, npm),
    ...stepLines(spec.steps),
    // What the build alone needed, what tells of the building machine, and what differs from sprite to sprite.
    'rm -f "$tree/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$tree"/etc/{hostname,resolv.conf} "$tree"/etc/ssh/ssh_host_*',
    'rm -rf "$tree/root/.npm" "$tree"/tmp/* "$tree"/var/tmp/*',
    ': > "$tree/etc/machine-id"',
    '',
  ].join('\n');
}

function accountLines({ name, uid, shell, sudo }: ImageSpec['user']): string[] {
  const account = [
    `echo ${shellWord(`account ${name}`)}`,
    `inside groupadd --gid ${uid} ${name}`,
    `inside useradd --create-home --uid ${uid} --gid ${uid} --shell ${shellWord(shell)} ${name}`,
  ];
  if (!sudo) return account;
  const rule = `/etc/sudoers.d/${name}`;
  return [
    ...account,
    `echo '${name} ALL=(ALL:ALL) NOPASSWD: ALL' > "$tree${rule}"`,
    `chmod 0440 "$tree${rule}"`,
    `inside visudo --check --quiet --file=${rule}`,
  ];
}

function fileLines(files: ImageSpec['files'], filesDir: string): string[] {
  return files.map(
    ({ path, mode }, index) =>
      `install -D --owner=root --group=root --mode=${mode} ${shellWord(`${filesDir}/${index}`)} "$tree${path}"`,
  );
}

/** The host's npm downloads with the host's settings and runs nothing; install scripts then run inside, without a network. */
function npmLines(packages: readonly string[], npm: readonly string[]): string[] {
  if (packages.length === 0) return [];
  const command = [
    ...npm,
    'install',
    '--global',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--no-update-notifier',
    '--loglevel=error',
  ]
    .map(shellWord)
    .join(' ');
  return [
    `echo ${shellWord(`npm packages: ${packages.join(' ')}`)}`,
    `${command} --prefix "$tree/usr/local" ${packages.map(shellWord).join(' ')}`,
    'echo "install scripts of the npm packages"',
    'unshare --net env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/root LANG=C.UTF-8 chroot "$tree" npm rebuild --global --dangerously-allow-all-scripts --loglevel=error',
  ];
}

function stepLines(steps: readonly string[]): string[] {
  return steps.flatMap((step) => [
    `echo ${shellWord(`step: ${step.split('\n')[0]}`)}`,
    `inside /bin/bash -euo pipefail -c ${shellWord(step)}`,
  ]);
}
