import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { VmSpec } from '@sylph/engine';
import { SylphError } from '@sylph/model';
import { processExe } from './procfs.ts';
import { type Supervised, type SuperviseOptions, supervise } from './supervise.ts';

/** Enters a namespace, drops to an account and its capabilities, and becomes the program it is given, so pid and session stay. Part of util-linux. */
const nsenter = 'nsenter';
const becomeDeadlineMs = 5_000;

/**
 * Spawns a VM's hypervisor under the VM's own account, without groups, in the network namespace its card is plugged into, where it has one. Resolves when the process is the hypervisor, or has ended before it was.
 */
export async function spawnAsVm(
  spec: Pick<VmSpec, 'uid' | 'network' | 'dir'>,
  program: string,
  args: readonly string[],
  options: Pick<SuperviseOptions, 'extraFds'>,
): Promise<Supervised> {
  const { uid, dir: cwd, network } = spec;
  if (network.kind !== 'tap') return supervise(program, args, { ...options, cwd, uid, gid: uid, detached: true });
  const account = [`--setuid=${uid}`, `--setgid=${uid}`];
  const supervised = await supervise(nsenter, [`--net=${network.namespace}`, ...account, '--', program, ...args], {
    ...options,
    cwd,
    detached: true,
  });
  await becoming(supervised);
  return supervised;
}

/** Waits until a process runs something else than `nsenter`: whoever identifies a VM by its program must not see that. */
async function becoming(supervised: Supervised): Promise<void> {
  const deadline = performance.now() + becomeDeadlineMs;
  while (path.basename(processExe(supervised.pid) ?? '') === nsenter) {
    if (performance.now() > deadline) {
      supervised.signal(9);
      throw new SylphError('timeout', `${nsenter} did not start the hypervisor in ${becomeDeadlineMs} ms`);
    }
    await sleep(1);
  }
}
