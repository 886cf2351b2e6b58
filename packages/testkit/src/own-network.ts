import fs from 'node:fs';

/** Says that this process has its own network already. */
const variable = 'SYLPH_TEST_OWN_NETWORK';

/**
 * Starts this test file over in a network namespace of its own, with a directory of namespaces and a TUN device of its own: what its tests do to "the host's network" is done there, and ends with it. To be called before anything else.
 * The process stays the same, only what it runs begins anew.
 */
export function enterOwnNetwork(): void {
  if (process.env[variable] !== undefined) return;
  const { SYLPH_TEST_FILE: _guarded, TMPDIR: directory, ...env } = process.env;
  // The leak guard makes another one.
  if (_guarded !== undefined && directory !== undefined) fs.rmSync(directory, { recursive: true, force: true });
  fs.mkdirSync('/run/netns', { recursive: true });
  // A new network takes some settings from the machine's: this one is a host that forwards nothing.
  const script =
    'mount -t tmpfs none /run/netns && mount -t tmpfs none /dev/net && mknod -m 600 /dev/net/tun c 10 200 && ip link set lo up && echo 0 > /proc/sys/net/ipv4/ip_forward && echo 0 > /proc/sys/net/ipv6/conf/all/forwarding && exec "$@"';
  process.execve?.(
    '/bin/sh',
    [
      'sh',
      '-c',
      'exec unshare --net --mount -- sh -c "$0" sh "$@"',
      script,
      process.execPath,
      ...process.execArgv,
      ...process.argv.slice(1),
    ],
    { ...env, [variable]: 'yes' },
  );
}
