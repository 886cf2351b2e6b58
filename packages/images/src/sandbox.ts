import { run, type RunOptions } from './run.ts';

/**
 * Runs a program that mounts file systems and starts daemons (mmdebstrap, maintainer scripts) in mount and process namespaces of its own.
 * However it ends, the kernel then removes its mounts and processes with it, so the directory it worked in can be deleted without
 * reaching into the host's /dev or /proc. Throws as {@link run} does.
 */
export async function runContained(command: string, args: readonly string[], options: RunOptions): Promise<Buffer> {
  const namespaces = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child=KILL'];
  return await run('unshare', [...namespaces, '--', command, ...args], options);
}
