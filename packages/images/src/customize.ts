import type { ImageSpec } from './spec.ts';

/** Quotes a text as one word of a POSIX shell. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * The script mmdebstrap runs when all packages are installed, with the system's directory as its argument. Programs of the image run
 * inside that system only. `filesDir` holds the spec's files as `0`, `1`, …; `npmDir` what {@link downloadNpm} fetched.
 */
export function customizeScript(spec: ImageSpec, { filesDir, npmDir }: { filesDir: string; npmDir: string }): string {
  return [
    '#!/bin/bash',
    'set -euo pipefail',
    'tree=$1',
    'inside() { env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive chroot "$tree" "$@"; }',
    // Before the account, whose home is a copy of /etc/skel.
    ...fileLines(spec.files, filesDir),
    ...accountLines(spec.user),
    ...npmLines(spec.npm, npmDir),
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

/**
 * Packages lie ready in `npmDir`. Their own install scripts, not those of what they depend on, run inside and without a network, so that
 * nothing comes from elsewhere.
 */
function npmLines(packages: readonly string[], npmDir: string): string[] {
  if (packages.length === 0) return [];
  const names = packages.map((each) => shellWord(each.slice(0, each.lastIndexOf('@'))));
  return [
    'echo "install scripts of the npm packages"',
    `cp -a ${shellWord(npmDir)}/. "$tree/usr/local/"`,
    `unshare --net env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 chroot "$tree" npm rebuild --global --prefix /usr/local --dangerously-allow-all-scripts --loglevel=error ${names.join(' ')}`,
  ];
}

function stepLines(steps: readonly string[]): string[] {
  return steps.flatMap((step) => [
    `echo ${shellWord(`step: ${step.split('\n')[0]}`)}`,
    `inside /bin/bash -euo pipefail -c ${shellWord(step)}`,
  ]);
}
