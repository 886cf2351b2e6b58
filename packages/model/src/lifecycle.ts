/**
 * The one table of a sprite's life. Types, the API's 409s, the documentation and the property tests come from it.
 *
 *            create                start                  (agent answered)
 *   (none) ─────────▶ asleep ───────────────▶ starting ────────────────────▶ running
 *                      ▲  ▲                      │  ▲                          │  │
 *          captured    │  └── ladder exhausted:  │  │  restore, restart        │  │ VM died
 *        suspending ◀──┼────────── failed ◀──────┘  └──────────────────────────┘  │
 *             ▲        └──────────────────────────────────────────────────────────┘
 *             └── suspend, idle
 *
 * Not drawn: a restore is `restoring` while the present is saved, then `starting`; from every state a sprite can be `deleting`.
 * `asleep` has memory or not (`warm`, `cold`); a running sprite that is being captured live stays `running`.
 */
export const states = ['asleep', 'starting', 'running', 'suspending', 'restoring', 'failed', 'deleting'] as const;

/** Our finer state of a sprite. */
export type SpriteState = (typeof states)[number];

/** What can be asked of a sprite. */
export const commands = [
  'start',
  'suspend',
  'use',
  'checkpoint',
  'fork',
  'restore',
  'restart',
  'upgrade',
  'recover',
  'delete',
] as const;

/** A command of the table. `use` is anything that needs the guest: exec, files, ports. */
export type SpriteCommand = (typeof commands)[number];

/**
 * What a command does in a state: `run` it, `wake` the sprite first, `wait` for the transition under way and look again, `noop` (already so), or `refuse` it (409).
 */
export type Verdict = 'run' | 'wake' | 'wait' | 'noop' | 'refuse';

/** A command's verdicts: those of the settled states are its own, a transition under way is waited for by all, and a sprite being deleted is refused. */
function verdicts(settled: Record<'asleep' | 'running' | 'failed', Verdict>): Record<SpriteState, Verdict> {
  return { ...settled, starting: 'wait', suspending: 'wait', restoring: 'wait', deleting: 'refuse' };
}

/** command × state → verdict. */
export const lifecycle: Record<SpriteCommand, Record<SpriteState, Verdict>> = {
  start: verdicts({ asleep: 'run', running: 'noop', failed: 'refuse' }),
  suspend: verdicts({ asleep: 'noop', running: 'run', failed: 'refuse' }),
  use: verdicts({ asleep: 'wake', running: 'run', failed: 'refuse' }),
  checkpoint: verdicts({ asleep: 'run', running: 'run', failed: 'refuse' }),
  fork: verdicts({ asleep: 'run', running: 'run', failed: 'refuse' }),
  restore: verdicts({ asleep: 'run', running: 'run', failed: 'run' }),
  restart: verdicts({ asleep: 'run', running: 'run', failed: 'run' }),
  upgrade: verdicts({ asleep: 'run', running: 'run', failed: 'run' }),
  recover: verdicts({ asleep: 'run', running: 'noop', failed: 'run' }),
  delete: { ...verdicts({ asleep: 'run', running: 'run', failed: 'run' }), deleting: 'noop' },
};

/** State × state: the transitions that exist. {@link assertTransition} refuses all others. */
export const transitions: Record<SpriteState, readonly SpriteState[]> = {
  asleep: ['starting', 'restoring', 'deleting', 'failed'],
  starting: ['running', 'asleep', 'failed', 'deleting'],
  running: ['suspending', 'starting', 'restoring', 'asleep', 'failed', 'deleting'],
  suspending: ['asleep', 'running', 'restoring', 'starting', 'failed', 'deleting'],
  restoring: ['running', 'asleep', 'failed', 'starting', 'deleting'],
  failed: ['starting', 'restoring', 'deleting', 'asleep'],
  // Only when the deletion failed.
  deleting: ['asleep', 'failed'],
};

/** Throws on a transition the table does not know: a broken invariant of ours. */
export function assertTransition(from: SpriteState, to: SpriteState): void {
  if (!transitions[from].includes(to)) throw new Error(`a sprite cannot go from ${from} to ${to}`);
}

/** `status` of the public API: `running` (VM alive), `warm` (asleep with memory, or starting), `cold` (disk only, or never run). */
export type PublicStatus = 'running' | 'warm' | 'cold';

/** Public status from our state and what the sprite rests on. */
export function publicStatus(state: SpriteState, rest: 'memory' | 'disk' | 'new' | null): PublicStatus {
  switch (state) {
    case 'running':
    case 'suspending':
    case 'restoring':
      return 'running';
    case 'starting':
      return 'warm';
    case 'asleep':
    case 'failed':
    case 'deleting':
      return rest === 'memory' ? 'warm' : 'cold';
    default:
      return state satisfies never;
  }
}
