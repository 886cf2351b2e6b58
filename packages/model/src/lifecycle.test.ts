import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  assertTransition,
  commands,
  lifecycle,
  publicStatus,
  states,
  transitions,
  type SpriteCommand,
  type SpriteState,
} from './lifecycle.ts';

/** States a command's work passes through, first the one it changes to at once; `undefined`: it changes none. */
const enters: Record<SpriteCommand, readonly (SpriteState | undefined)[]> = {
  start: ['starting'],
  use: ['starting', undefined],
  suspend: ['suspending'],
  checkpoint: [undefined],
  fork: [undefined],
  restore: ['restoring'],
  restart: ['starting'],
  upgrade: ['starting'],
  recover: ['starting'],
  delete: ['deleting'],
};
const inTransition: readonly SpriteState[] = ['starting', 'suspending', 'restoring'];

describe('the lifecycle table', () => {
  it('has a verdict for every command in every state', () => {
    assert.deepEqual(Object.keys(lifecycle).toSorted(), [...commands].toSorted());
    for (const command of commands)
      assert.deepEqual(Object.keys(lifecycle[command]).toSorted(), [...states].toSorted(), command);
    assert.deepEqual(Object.keys(transitions).toSorted(), [...states].toSorted());
  });

  it('lets run only what the transitions allow', () => {
    for (const command of commands) {
      for (const state of states) {
        if (!['run', 'wake'].includes(lifecycle[command][state])) continue;
        assert.ok(
          enters[command].some((next) => next === undefined || next === state || transitions[state].includes(next)),
          `${command} while ${state}`,
        );
      }
    }
  });

  it('waits exactly for transitions under way', () => {
    for (const command of commands)
      for (const state of states)
        assert.equal(lifecycle[command][state] === 'wait', inTransition.includes(state), `${command} while ${state}`);
  });

  it('always leaves a way out: delete everywhere, recover and restore from failed', () => {
    for (const state of states) assert.notEqual(lifecycle.delete[state], 'refuse', state);
    assert.equal(lifecycle.recover.failed, 'run');
    assert.equal(lifecycle.restore.failed, 'run');
  });

  it('refuses everything but delete of what is being deleted', () => {
    for (const command of commands)
      assert.equal(lifecycle[command].deleting, command === 'delete' ? 'noop' : 'refuse', command);
  });

  it('reaches every state from asleep, and asleep from every state', () => {
    const reach = (from: SpriteState): Set<SpriteState> => {
      const seen = new Set([from]);
      for (const state of seen) for (const next of transitions[state]) seen.add(next);
      return seen;
    };
    for (const state of states) {
      assert.ok(reach('asleep').has(state), `${state} is reached`);
      assert.ok(reach(state).has('asleep'), `${state} is left`);
    }
  });

  it('lets every state under way come to rest when it breaks off', () => {
    for (const state of [...inTransition, 'deleting', 'running'] as const)
      for (const rest of ['asleep', 'failed'] as const)
        assert.doesNotThrow(() => assertTransition(state, rest), `${state} to ${rest}`);
  });

  it('knows no transition to itself, and refuses those it does not know', () => {
    for (const from of states) {
      for (const to of states) {
        if (transitions[from].includes(to)) assert.doesNotThrow(() => assertTransition(from, to));
        else assert.throws(() => assertTransition(from, to), new RegExp(`from ${from} to ${to}`));
      }
      assert.ok(!transitions[from].includes(from), from);
    }
  });
});

describe('publicStatus', () => {
  it('is running while a VM is or is about to be left, warm with memory, else cold', () => {
    const rests = ['memory', 'disk', 'new', null] as const;
    for (const rest of rests) {
      for (const state of ['running', 'suspending', 'restoring'] as const)
        assert.equal(publicStatus(state, rest), 'running');
      assert.equal(publicStatus('starting', rest), 'warm');
      for (const state of ['asleep', 'failed', 'deleting'] as const)
        assert.equal(publicStatus(state, rest), rest === 'memory' ? 'warm' : 'cold');
    }
  });
});
