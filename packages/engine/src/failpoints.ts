import fs from 'node:fs/promises';

/** Points at which the fault suite may end the daemon or make a step fail. One line here, one call in the code. */
export const failpointNames = [
  'create.before-row',
  'create.after-row',
  'start.vm-running',
  'start.agent-answered',
  'start.rest-dropped',
  'suspend.captured',
  'suspend.published',
  'suspend.vm-ended',
  'checkpoint.captured',
  'checkpoint.published',
  'checkpoint.row-written',
  'restore.present-saved',
  'restore.answered',
  'fork.captured',
  'fork.one-created',
  'delete.row-removed',
  'restart.vm-ended',
  'genesis.captured',
] as const;
export type FailpointName = (typeof failpointNames)[number];

/** What happens at a point: the process kills itself, the step throws, or, the first time, it makes a file and waits until somebody has removed it. */
export type FailpointAction = 'kill' | 'throw' | `hold:${string}`;

/** How often a held step looks whether its file is gone. */
const lookMs = 10;

/** Armed failpoints. In production the map is empty and `hit` costs one look-up. */
export class Failpoints {
  readonly #armed: Map<string, FailpointAction>;

  constructor(armed: ReadonlyMap<string, FailpointAction> = new Map()) {
    this.#armed = new Map(armed);
  }

  async hit(name: FailpointName): Promise<void> {
    const action = this.#armed.get(name);
    if (action === undefined) return;
    if (action === 'kill') process.kill(process.pid, 'SIGKILL');
    if (action === 'throw') throw new Error(`failpoint ${name}`);
    this.#armed.delete(name);
    const file = action.slice('hold:'.length);
    await fs.writeFile(file, '');
    while (await fs.stat(file).catch(() => undefined)) await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}
