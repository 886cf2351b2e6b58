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

/** What happens at a point: the process kills itself, the step throws, or it waits. */
export type FailpointAction = 'kill' | 'throw' | `delay:${number}`;

/** Armed failpoints. In production the map is empty and `hit` costs one look-up. */
export class Failpoints {
  readonly #armed: ReadonlyMap<string, FailpointAction>;

  constructor(armed: ReadonlyMap<string, FailpointAction> = new Map()) {
    this.#armed = armed;
  }

  async hit(name: FailpointName): Promise<void> {
    const action = this.#armed.get(name);
    if (action === undefined) return;
    if (action === 'kill') process.kill(process.pid, 'SIGKILL');
    if (action === 'throw') throw new Error(`failpoint ${name}`);
    await new Promise((resolve) => setTimeout(resolve, Number(action.slice('delay:'.length))));
  }
}
